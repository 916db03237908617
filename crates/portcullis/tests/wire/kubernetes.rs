//! Kubernetes: the cases of the API server's own test, and what it leaves out.
//!
//! `P` is the prefix of the entry with the token. "ok" is an open socket here, and every error a
//! 401, which is what the API server makes of it. Rows 3 to 5 and 12 to 13 differ only in what an
//! authenticator inside says, which is one refusal from outside.

use portcullis::Profile;

use crate::ecosystem::{Opens, Refused, Row, Shorthand, app, hold, row};

const SHORTHAND: Shorthand = Shorthand(&[
    ("{P}", "base64url.bearer.authorization.k8s.io."),
    ("{T}", "dG9rZW4"),
    ("{W}", "d3Jvbmc"),
]);

/// The tokens behind the base64: `token`, and one whose base64 needs the last two symbols.
const TOKENS: &[(&str, &str)] = &[("myuser", "token"), ("other", "tök?en>>")];

const PROTOCOL: &str = "sec-websocket-protocol";

#[tokio::test]
async fn table() {
    let protocols = &["dummy", "d", "dummy2", "SPDY/3.1+portforward.k8s.io"];
    hold(
        app(Profile::kubernetes(), TOKENS, protocols),
        &SHORTHAND,
        ROWS,
    )
    .await;
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("K1", "", &[(PROTOCOL, "{P}{T},dummy")], Opens("dummy")),
    row("K3-5", "", &[(PROTOCOL, "{P}{W},dummy")], Refused(401)),
    row("K6a", "", &[], Refused(401)),
    row("K6b", "", &[(PROTOCOL, "other-protocol")], Refused(401)),
    row("K6c", "", &[(PROTOCOL, "{P}")], Refused(401)),
    row("K8", "", &[(PROTOCOL, "")], Refused(401)),
    row("K9", "", &[(PROTOCOL, "undefined")], Refused(401)),
    row("K11", "", &[(PROTOCOL, "{P}{T}"), (PROTOCOL, "dummy, dummy2")], Opens("dummy")),
    row("K14", "", &[(PROTOCOL, "{P}dG9rZW4=,d")], Refused(401)),
    row("K15", "", &[(PROTOCOL, "{P}dMO2az9lbj4-,d")], Opens("d")),
    row("K15 standard alphabet", "", &[(PROTOCOL, "{P}dMO2az9lbj4+,d")], Refused(401)),
    row("K16", "", &[(PROTOCOL, "{P}gA,d")], Refused(401)),
    row("K17", "", &[(PROTOCOL, "{P}{T}")], Refused(401)),
    row("K18", "", &[(PROTOCOL, "{P}{T}, {P}{T}, d")], Refused(401)),
    row("K18 empty first", "", &[(PROTOCOL, "{P}, {P}{T}, d")], Refused(401)),
    row("K19", "", &[(PROTOCOL, "d, {P}{T}, SPDY/3.1+portforward.k8s.io")], Opens("d")),
    row("K19 illegal", "", &[(PROTOCOL, "{P}{T}, SPDY/3.1+portforward.k8s.io")], Opens("SPDY/3.1+portforward.k8s.io")),
    row("K20", "", &[(PROTOCOL, "BASE64URL.bearer.authorization.k8s.io.dG9rZW4,d")], Refused(401)),
    row("tabs", "", &[(PROTOCOL, "d\t,\t{P}{T}\t")], Opens("d")),
    row("header", "", &[("authorization", "Bearer token"), (PROTOCOL, "d")], Opens("d")),
    row("header and entry", "", &[("authorization", "Bearer token"), (PROTOCOL, "{P}{T}, d")], Opens("d")),
    row("header against entry", "", &[("authorization", "Bearer token"), (PROTOCOL, "{P}{W}, d")], Refused(401)),
    // The API server takes bits that do not count, since Go's decoder does. One token has one
    // spelling here.
    row("bits that do not count", "", &[(PROTOCOL, "{P}dG9rZW5,d")], Refused(401)),
    // The API server counts the empty element behind the comma as another protocol, and then has
    // nothing to echo.
    row("trailing comma", "", &[(PROTOCOL, "{P}{T},")], Refused(401)),
];

/// K2: the option stands in a line of its own, beside one that is none.
#[tokio::test]
async fn two_connection_lines() {
    use portcullis::testing::TestClient;

    let client = TestClient::new(app(Profile::kubernetes(), TOKENS, &["dummy"]));
    let handshake = client
        .websocket("/ws/known")
        .without("connection")
        .header("connection", "not")
        .header("connection", "upgrade")
        .header(
            PROTOCOL,
            "base64url.bearer.authorization.k8s.io.dG9rZW4,dummy",
        );
    // axum looks at the first line alone, so what is admitted ends there. We passed it on: 400 is
    // axum's, not ours, which would be 401.
    assert_eq!(handshake.connect().await.unwrap_err().status(), 400);
}
