//! Jupyter: the acceptance rows of JEP 121 and of what Jupyter Server's users rely on, for the
//! strict profile and for the compatible one.
//!
//! `V` is the marker, `V.T` the entry with the token, `K` the kernel's own protocol, `T` a good
//! token and `W` a wrong one. A16 (no cookie, no token in a refusal) is held for every row.

use portcullis::Profile;
use portcullis::carrier::Cookie;

use crate::ecosystem::{Opens, OpensBare, Refused, Row, Shorthand, app, hold, row};

const SHORTHAND: Shorthand = Shorthand(&[
    ("{V}", "v1.token.websocket.jupyter.org"),
    ("{K}", "v1.kernel.websocket.jupyter.org"),
    ("{T}", "g00d-t0ken"),
    ("{T2}", "an0ther-t0ken"),
    ("{W}", "wr0ng-t0ken"),
    ("{cookie}", "session=g00d-t0ken"),
    ("{own}", "http://localhost"),
]);

const TOKENS: &[(&str, &str)] = &[
    ("alice", "g00d-t0ken"),
    ("bob", "an0ther-t0ken"),
    ("carol", "a/b=+ ()é"),
];

const PROTOCOL: &str = "sec-websocket-protocol";
const HEADER: &str = "authorization";

#[tokio::test]
async fn strict() {
    let profile = Profile::jupyter().carrier(Cookie::named("session"));
    hold(
        app(profile, TOKENS, &["v1.kernel.websocket.jupyter.org", "foo"]),
        &SHORTHAND,
        STRICT,
    )
    .await;
}

#[tokio::test]
async fn compat() {
    let profile = Profile::jupyter()
        .carrier(Cookie::named("session"))
        .compat();
    hold(
        app(profile, TOKENS, &["v1.kernel.websocket.jupyter.org", "foo"]),
        &SHORTHAND,
        COMPAT,
    )
    .await;
}

#[rustfmt::skip]
const STRICT: &[Row] = &[
    row("A1", "", &[], Refused(403)),
    row("A2 token", "", &[(HEADER, "token {T}")], OpensBare),
    row("A2 Bearer", "", &[(HEADER, "Bearer {T}")], OpensBare),
    row("A2 case", "", &[(HEADER, "BEARER {T}")], OpensBare),
    row("A2 tab", "", &[(HEADER, "token\t{T}")], OpensBare),
    row("A2 two spaces", "", &[(HEADER, "Token  {T}")], OpensBare),
    row("A3", "?token={W}", &[(HEADER, "token {T}")], Refused(403)),
    row("A4", "?token={T}", &[(HEADER, "token {W}")], Refused(403)),
    row("A5", "?token={W}&token={T}", &[], Refused(400)),
    row("A6", "", &[(HEADER, "token {T}"), (HEADER, "token {W}")], Refused(403)),
    row("A6 equal", "", &[(HEADER, "token {T}"), (HEADER, "token {T}")], Refused(403)),
    row("A7 header", "", &[("cookie", "{cookie}"), ("origin", "{own}"), (HEADER, "token {W}")], Refused(403)),
    row("A7 query", "?token={W}", &[("cookie", "{cookie}"), ("origin", "{own}")], Refused(403)),
    row("A8", "?token=%ff", &[], Refused(400)),
    row("A9", "", &[(HEADER, "token {T}"), ("origin", "http://evil.example")], OpensBare),
    row("A10 host", "", &[("cookie", "{cookie}"), ("origin", "http://evil.example")], Refused(403)),
    row("A10 null", "", &[("cookie", "{cookie}"), ("origin", "null")], Refused(403)),
    row("A10 port", "", &[("cookie", "{cookie}"), ("origin", "{own}:8080")], Refused(403)),
    row("A10 scheme", "", &[("cookie", "{cookie}"), ("origin", "https://localhost")], Refused(403)),
    row("A10 own", "", &[("cookie", "{cookie}"), ("origin", "{own}")], OpensBare),
    row("A10 absent", "", &[("cookie", "{cookie}")], Refused(403)),
    row("A11", "", &[("cookie", "{cookie}"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], Refused(403)),
    row("A12", "", &[("cookie", "{cookie}"), ("sec-fetch-site", "cross-site")], Refused(403)),
    row("A13 with", "unknown", &[(HEADER, "token {T}")], Refused(404)),
    row("A13 without", "unknown", &[], Refused(403)),
    row("A15", "", &[(HEADER, "token {T}"), ("host", "evil.example")], Refused(403)),
    row("A15 port", "", &[(HEADER, "token {T}"), ("host", "localhost:1")], OpensBare),
    row("A15 v6", "", &[(HEADER, "token {T}"), ("host", "[::1]:1")], OpensBare),

    row("J1", "", &[(PROTOCOL, "{V}, {V}.{T}")], Opens("{V}")),
    row("J2 KV", "", &[(PROTOCOL, "{K}, {V}, {V}.{T}")], Opens("{K}")),
    // The application's protocol wins whatever the order: JupyterLab takes any other for a dead
    // kernel. (The JEP would have the first that is supported.)
    row("J2 VK", "", &[(PROTOCOL, "{V}, {V}.{T}, {K}")], Opens("{K}")),
    row("J2 K", "", &[(PROTOCOL, "{K}, {V}.{T}")], Opens("{K}")),
    row("J3", "", &[(PROTOCOL, "foo, {V}.{T}")], Opens("foo")),
    row("J4", "", &[(PROTOCOL, "{V}, {V}.{W}")], Refused(403)),
    row("J5 cookie", "", &[(PROTOCOL, "{V}, {V}.{W}"), ("cookie", "{cookie}"), ("origin", "{own}")], Refused(403)),
    row("J5 header", "", &[(PROTOCOL, "{V}, {V}.{W}"), (HEADER, "token {T}")], Refused(403)),
    row("J6 cookie", "", &[(PROTOCOL, "{V}"), ("cookie", "{cookie}"), ("origin", "{own}")], OpensBare),
    row("J6 header", "", &[(PROTOCOL, "{V}"), (HEADER, "token {T}")], OpensBare),
    row("J7", "", &[(PROTOCOL, "{V}")], Refused(403)),
    row("J8", "", &[(PROTOCOL, "{V}.{T}")], Refused(400)),
    row("J9", "", &[(PROTOCOL, "{V}, {V}.{T}, {V}.{T2}")], Refused(403)),
    row("J9 equal", "", &[(PROTOCOL, "{V}, {V}.{T}, {V}.{T}")], Refused(403)),
    row("J10 empty", "", &[(PROTOCOL, "{V}, {V}.")], Refused(403)),
    row("J10 %zz", "", &[(PROTOCOL, "{V}, {V}.%zz")], Refused(403)),
    row("J10 %ff", "", &[(PROTOCOL, "{V}, {V}.%ff")], Refused(403)),
    row("J11", "", &[(PROTOCOL, "{V}, {V}.a%2Fb%3D%2B%20%28%29%C3%A9")], Opens("{V}")),
    row("J11 plus", "", &[(PROTOCOL, "{V}, {V}.a%2Fb%3D++%28%29%C3%A9")], Refused(403)),
    row("J12 lines", "", &[(PROTOCOL, "{V}"), (PROTOCOL, "{V}.{T}")], Opens("{V}")),
    row("J12 white", "", &[(PROTOCOL, "\t{V} ,\t  {V}.{T}\t ")], Opens("{V}")),
    row("J13", "", &[(PROTOCOL, "V1.token.websocket.jupyter.org, V1.token.websocket.jupyter.org.{T}")], Refused(403)),
    row("J16", "", &[(PROTOCOL, "{V}, {V}.{T}"), ("origin", "http://evil.example")], Opens("{V}")),
    row("same twice", "?token={T}", &[(HEADER, "token {T}"), (PROTOCOL, "{V}, {V}.{T}")], Opens("{V}")),
];

/// What Jupyter Server 2.21.1 was observed to do, and what the JEP adds. Where the two differ the
/// JEP holds, since its tokens mean nothing to 2.21.1.
#[rustfmt::skip]
const COMPAT: &[Row] = &[
    row("A1", "", &[], Refused(403)),
    row("A2 token", "", &[(HEADER, "token {T}")], OpensBare),
    row("A2 case", "", &[(HEADER, "BEARER {T}")], OpensBare),
    row("A2 tab", "", &[(HEADER, "token\t{T}")], OpensBare),
    row("A2 two spaces", "", &[(HEADER, "Token  {T}")], OpensBare),
    row("no scheme", "", &[(HEADER, "{T}")], Refused(403)),
    row("Basic", "", &[(HEADER, "Basic {T}")], Refused(403)),
    row("xtoken", "", &[(HEADER, "xtoken {T}")], Refused(403)),
    row("wrong", "", &[(HEADER, "token {W}")], Refused(403)),
    row("query", "?token={T}", &[], OpensBare),
    row("query, spaces", "?token=%20{T}%20", &[], OpensBare),
    row("query and header", "?token={T}", &[(HEADER, "token {T}")], OpensBare),
    row("query, wrong", "?token={W}", &[], Refused(403)),
    row("query, case", "?TOKEN={T}", &[], Refused(403)),
    row("query, last wrong", "?token={T}&token={W}", &[], Refused(403)),
    row("query, empty", "?token=", &[(HEADER, "token {T}")], OpensBare),
    row("A3", "?token={W}", &[(HEADER, "token {T}")], Refused(403)),
    row("A4", "?token={T}", &[(HEADER, "token {W}")], OpensBare),
    row("A5", "?token={W}&token={T}", &[], OpensBare),
    row("A6", "", &[(HEADER, "token {T}"), (HEADER, "token {W}")], Refused(403)),
    row("A6 equal", "", &[(HEADER, "token {T}"), (HEADER, "token {T}")], Refused(403)),
    row("A7 header", "", &[("cookie", "{cookie}"), (HEADER, "token {W}")], OpensBare),
    row("A7 query", "?token={W}", &[("cookie", "{cookie}")], OpensBare),
    row("A8", "?token=%ff", &[], Refused(400)),
    row("A9", "", &[(HEADER, "token {T}"), ("origin", "http://evil.example")], OpensBare),
    row("A9 query", "?token={T}", &[("origin", "http://evil.example")], OpensBare),
    row("A10 host", "", &[("cookie", "{cookie}"), ("origin", "http://evil.example")], Refused(403)),
    row("A10 null", "", &[("cookie", "{cookie}"), ("origin", "null")], Refused(403)),
    row("A10 port", "", &[("cookie", "{cookie}"), ("origin", "{own}:8080")], Refused(403)),
    row("cookie, own", "", &[("cookie", "{cookie}"), ("origin", "{own}")], OpensBare),
    row("cookie, https", "", &[("cookie", "{cookie}"), ("origin", "https://localhost")], OpensBare),
    row("cookie, absent", "", &[("cookie", "{cookie}")], OpensBare),
    row("cookie, wrong", "", &[("cookie", "session={W}")], Refused(403)),
    // Jupyter Server opens (tornado 6.6 takes Sec-Fetch-Site for proof). No header but Origin
    // vouches for an origin here: a rule that has no exception.
    row("A11", "", &[("cookie", "{cookie}"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], Refused(403)),
    row("A12", "", &[("cookie", "{cookie}"), ("sec-fetch-site", "cross-site")], Refused(403)),
    row("A13 with", "unknown", &[(HEADER, "token {T}")], Refused(404)),
    row("A13 without", "unknown", &[], Refused(403)),
    row("A15", "", &[(HEADER, "token {T}"), ("host", "evil.example")], Refused(403)),
    row("A15 port", "", &[(HEADER, "token {T}"), ("host", "localhost:1")], OpensBare),
    row("A15 v6", "", &[(HEADER, "token {T}"), ("host", "[::1]:1")], OpensBare),

    row("K", "", &[(HEADER, "token {T}"), (PROTOCOL, "{K}")], Opens("{K}")),
    row("bar, K", "", &[(HEADER, "token {T}"), (PROTOCOL, "bar, {K}")], Opens("{K}")),
    row("bar / K", "", &[(HEADER, "token {T}"), (PROTOCOL, "bar"), (PROTOCOL, "{K}")], Opens("{K}")),
    row("bar", "", &[(HEADER, "token {T}"), (PROTOCOL, "bar")], OpensBare),

    row("J1", "", &[(PROTOCOL, "{V}, {V}.{T}")], Opens("{V}")),
    row("J2 KV", "", &[(PROTOCOL, "{K}, {V}, {V}.{T}")], Opens("{K}")),
    row("J2 VK", "", &[(PROTOCOL, "{V}, {V}.{T}, {K}")], Opens("{K}")),
    row("J2 K", "", &[(PROTOCOL, "{K}, {V}.{T}")], Opens("{K}")),
    row("J3", "", &[(PROTOCOL, "foo, {V}.{T}")], Opens("foo")),
    row("J4", "", &[(PROTOCOL, "{V}, {V}.{W}")], Refused(403)),
    // 2.21.1 does not know V.W and lets the other credential decide. The JEP: MUST fail with 403.
    row("J5 cookie", "", &[(PROTOCOL, "{V}, {V}.{W}"), ("cookie", "{cookie}")], Refused(403)),
    row("J5 header", "", &[(PROTOCOL, "{V}, {V}.{W}"), (HEADER, "token {T}")], Refused(403)),
    row("J6 cookie", "", &[(PROTOCOL, "{V}"), ("cookie", "{cookie}")], OpensBare),
    row("J6 header", "", &[(PROTOCOL, "{V}"), (HEADER, "token {T}")], OpensBare),
    row("J7", "", &[(PROTOCOL, "{V}")], Refused(403)),
    row("J8", "", &[(PROTOCOL, "{V}.{T}")], OpensBare),
    row("J9", "", &[(PROTOCOL, "{V}, {V}.{T}, {V}.{T2}")], Opens("{V}")),
    row("J9 wrong", "", &[(PROTOCOL, "{V}, {V}.{T}, {V}.{W}")], Opens("{V}")),
    row("J9 wrong first", "", &[(PROTOCOL, "{V}, {V}.{W}, {V}.{T}")], Refused(403)),
    row("J10 empty", "", &[(PROTOCOL, "{V}, {V}.")], Refused(403)),
    row("J10 %zz", "", &[(PROTOCOL, "{V}, {V}.%zz")], Refused(403)),
    row("J10 %ff", "", &[(PROTOCOL, "{V}, {V}.%ff")], Refused(403)),
    row("J11", "", &[(PROTOCOL, "{V}, {V}.a%2Fb%3D%2B%20%28%29%C3%A9")], Opens("{V}")),
    row("J12 lines", "", &[(PROTOCOL, "{V}"), (PROTOCOL, "{V}.{T}")], Opens("{V}")),
    row("J13", "", &[(PROTOCOL, "V1.token.websocket.jupyter.org, V1.token.websocket.jupyter.org.{T}")], Refused(403)),
    row("V.T, wrong header", "", &[(PROTOCOL, "{V}, {V}.{T}"), (HEADER, "token {W}")], Refused(403)),
    row("V.T, wrong query", "?token={W}", &[(PROTOCOL, "{V}, {V}.{T}")], Refused(403)),
    row("J16", "", &[(PROTOCOL, "{V}, {V}.{T}"), ("origin", "http://evil.example")], Opens("{V}")),
];
