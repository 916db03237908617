//! Kubernetes: the cases of the API server's own test, and cases that it does not cover.
//!
//! `P` is the prefix of the entry with the token. A case that succeeds in the API server's test is
//! an open socket here, and each of its errors is a 401. Its cases that differ only in the answer
//! of an authenticator are one row.

use portcullis::Profile;

use crate::support::ecosystem::{Abbreviations, Opens, Refused, Row, app, check_rows, row};

const ABBREVIATIONS: Abbreviations = Abbreviations(&[
    ("{P}", "base64url.bearer.authorization.k8s.io."),
    ("{T}", "dG9rZW4"),
    ("{W}", "d3Jvbmc"),
]);

/// The base64 of the second token contains the symbols in which the two alphabets differ.
const TOKENS: &[(&str, &str)] = &[("myuser", "token"), ("other", "tök?en>>")];

const PROTOCOL: &str = "sec-websocket-protocol";

#[tokio::test]
async fn handshakes_have_the_outcome_of_the_api_server() {
    let protocols = &["dummy", "d", "dummy2", "SPDY/3.1+portforward.k8s.io"];
    check_rows(
        app(Profile::kubernetes(), TOKENS, protocols),
        &ABBREVIATIONS,
        ROWS,
    )
    .await;
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("token entry, protocol", "", &[(PROTOCOL, "{P}{T},dummy")], Opens("dummy")),
    row("wrong token entry", "", &[(PROTOCOL, "{P}{W},dummy")], Refused(401)),
    row("no credential", "", &[], Refused(401)),
    row("other protocol", "", &[(PROTOCOL, "other-protocol")], Refused(401)),
    row("empty token entry", "", &[(PROTOCOL, "{P}")], Refused(401)),
    row("empty header", "", &[(PROTOCOL, "")], Refused(401)),
    row("undefined", "", &[(PROTOCOL, "undefined")], Refused(401)),
    row("two lines", "", &[(PROTOCOL, "{P}{T}"), (PROTOCOL, "dummy, dummy2")], Opens("dummy")),
    row("base64 with padding", "", &[(PROTOCOL, "{P}dG9rZW4=,d")], Refused(401)),
    row("base64url", "", &[(PROTOCOL, "{P}dMO2az9lbj4-,d")], Opens("d")),
    row("standard base64", "", &[(PROTOCOL, "{P}dMO2az9lbj4+,d")], Refused(401)),
    row("token that is not UTF-8", "", &[(PROTOCOL, "{P}gA,d")], Refused(401)),
    row("token entry alone", "", &[(PROTOCOL, "{P}{T}")], Refused(401)),
    row("token entry twice", "", &[(PROTOCOL, "{P}{T}, {P}{T}, d")], Refused(401)),
    row("empty token entry, token entry", "", &[(PROTOCOL, "{P}, {P}{T}, d")], Refused(401)),
    row("protocols around the token entry", "", &[(PROTOCOL, "d, {P}{T}, SPDY/3.1+portforward.k8s.io")], Opens("d")),
    row("protocol that is not a token", "", &[(PROTOCOL, "{P}{T}, SPDY/3.1+portforward.k8s.io")], Opens("SPDY/3.1+portforward.k8s.io")),
    row("prefix in another case", "", &[(PROTOCOL, "BASE64URL.bearer.authorization.k8s.io.dG9rZW4,d")], Refused(401)),
    row("tabs", "", &[(PROTOCOL, "d\t,\t{P}{T}\t")], Opens("d")),
    row("header", "", &[("authorization", "Bearer token"), (PROTOCOL, "d")], Opens("d")),
    row("header and entry", "", &[("authorization", "Bearer token"), (PROTOCOL, "{P}{T}, d")], Opens("d")),
    row("header against entry", "", &[("authorization", "Bearer token"), (PROTOCOL, "{P}{W}, d")], Refused(401)),
    // The API server accepts nonzero trailing bits, as Go's decoder does. Here a token has exactly
    // one encoding.
    row("nonzero trailing bits", "", &[(PROTOCOL, "{P}dG9rZW5,d")], Refused(401)),
    // The API server counts the empty element after the comma as a protocol, and cannot echo it.
    row("trailing comma", "", &[(PROTOCOL, "{P}{T},")], Refused(401)),
];

/// A case of the API server: `Connection` has two lines, and `upgrade` is in the second one.
#[tokio::test]
async fn upgrade_in_a_second_connection_line_is_refused_by_axum() {
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
    // The layer admits the request. axum reads the first line only and responds with 400; a refusal
    // of the layer would be a 401.
    assert_eq!(handshake.connect().await.unwrap_err().status(), 400);
}
