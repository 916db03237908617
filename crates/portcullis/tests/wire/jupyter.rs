//! Jupyter: the cases of JEP 121 and those that users of Jupyter Server rely on, for the strict
//! profile and for the compatible one.
//!
//! `V` is the marker, `V.T` the entry with the token, `K` the protocol of the kernel, `T` a valid
//! token and `W` a wrong one. No refusal contains a token or sets a cookie.

use portcullis::Profile;
use portcullis::carrier::CookieCarrier;

use crate::support::ecosystem::{
    Abbreviations, Opens, OpensBare, Refused, Row, app, check_rows, row,
};

const ABBREVIATIONS: Abbreviations = Abbreviations(&[
    ("{V}", "v1.token.websocket.jupyter.org"),
    ("{K}", "v1.kernel.websocket.jupyter.org"),
    ("{T}", "g00d-t0ken"),
    ("{T2}", "an0ther-t0ken"),
    ("{W}", "wr0ng-t0ken"),
    ("{cookie}", "session=g00d-t0ken"),
    ("{same}", "http://localhost"),
]);

const TOKENS: &[(&str, &str)] = &[
    ("alice", "g00d-t0ken"),
    ("bob", "an0ther-t0ken"),
    ("carol", "a/b=+ ()é"),
];

const PROTOCOL: &str = "sec-websocket-protocol";
const HEADER: &str = "authorization";

#[tokio::test]
async fn strict_profile_follows_the_jep() {
    let profile = Profile::jupyter().carrier(CookieCarrier::named("session"));
    check_rows(
        app(profile, TOKENS, &["v1.kernel.websocket.jupyter.org", "foo"]),
        &ABBREVIATIONS,
        STRICT,
    )
    .await;
}

#[tokio::test]
async fn compatible_profile_follows_jupyter_server() {
    let profile = Profile::jupyter()
        .carrier(CookieCarrier::named("session"))
        .compat();
    check_rows(
        app(profile, TOKENS, &["v1.kernel.websocket.jupyter.org", "foo"]),
        &ABBREVIATIONS,
        COMPAT,
    )
    .await;
}

#[rustfmt::skip]
const STRICT: &[Row] = &[
    row("no credential", "", &[], Refused(403)),
    row("header, token scheme", "", &[(HEADER, "token {T}")], OpensBare),
    row("header, Bearer scheme", "", &[(HEADER, "Bearer {T}")], OpensBare),
    row("header, scheme in upper case", "", &[(HEADER, "BEARER {T}")], OpensBare),
    row("header, tab after the scheme", "", &[(HEADER, "token\t{T}")], OpensBare),
    row("header, two spaces after the scheme", "", &[(HEADER, "Token  {T}")], OpensBare),
    row("wrong query, header", "?token={W}", &[(HEADER, "token {T}")], Refused(403)),
    row("query, wrong header", "?token={T}", &[(HEADER, "token {W}")], Refused(403)),
    row("wrong query, query", "?token={W}&token={T}", &[], Refused(400)),
    row("header, wrong header", "", &[(HEADER, "token {T}"), (HEADER, "token {W}")], Refused(403)),
    row("the same header twice", "", &[(HEADER, "token {T}"), (HEADER, "token {T}")], Refused(403)),
    row("cookie, wrong header", "", &[("cookie", "{cookie}"), ("origin", "{same}"), (HEADER, "token {W}")], Refused(403)),
    row("cookie, wrong query", "?token={W}", &[("cookie", "{cookie}"), ("origin", "{same}")], Refused(403)),
    row("query that is not UTF-8", "?token=%ff", &[], Refused(400)),
    row("header, cross origin", "", &[(HEADER, "token {T}"), ("origin", "http://evil.example")], OpensBare),
    row("cookie, cross origin", "", &[("cookie", "{cookie}"), ("origin", "http://evil.example")], Refused(403)),
    row("cookie, null origin", "", &[("cookie", "{cookie}"), ("origin", "null")], Refused(403)),
    row("cookie, other port", "", &[("cookie", "{cookie}"), ("origin", "{same}:8080")], Refused(403)),
    row("cookie, other scheme", "", &[("cookie", "{cookie}"), ("origin", "https://localhost")], Refused(403)),
    row("cookie, same origin", "", &[("cookie", "{cookie}"), ("origin", "{same}")], OpensBare),
    row("cookie, no origin", "", &[("cookie", "{cookie}")], Refused(403)),
    row("cookie, cross origin, same-origin fetch metadata", "", &[("cookie", "{cookie}"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], Refused(403)),
    row("cookie, no origin, cross-site fetch metadata", "", &[("cookie", "{cookie}"), ("sec-fetch-site", "cross-site")], Refused(403)),
    row("unknown resource, header", "unknown", &[(HEADER, "token {T}")], Refused(404)),
    row("unknown resource, no credential", "unknown", &[], Refused(403)),
    row("header, unknown host", "", &[(HEADER, "token {T}"), ("host", "evil.example")], Refused(403)),
    row("header, host with a port", "", &[(HEADER, "token {T}"), ("host", "localhost:1")], OpensBare),
    row("header, IPv6 host", "", &[(HEADER, "token {T}"), ("host", "[::1]:1")], OpensBare),

    row("marker, token entry", "", &[(PROTOCOL, "{V}, {V}.{T}")], Opens("{V}")),
    row("kernel, marker, token entry", "", &[(PROTOCOL, "{K}, {V}, {V}.{T}")], Opens("{K}")),
    // The application's protocol is selected whatever the order, because JupyterLab reports a dead
    // kernel for any other. The JEP specifies the first supported protocol.
    row("marker, token entry, kernel", "", &[(PROTOCOL, "{V}, {V}.{T}, {K}")], Opens("{K}")),
    row("kernel, token entry", "", &[(PROTOCOL, "{K}, {V}.{T}")], Opens("{K}")),
    row("other protocol, token entry", "", &[(PROTOCOL, "foo, {V}.{T}")], Opens("foo")),
    row("marker, wrong token entry", "", &[(PROTOCOL, "{V}, {V}.{W}")], Refused(403)),
    row("marker, wrong token entry, cookie", "", &[(PROTOCOL, "{V}, {V}.{W}"), ("cookie", "{cookie}"), ("origin", "{same}")], Refused(403)),
    row("marker, wrong token entry, header", "", &[(PROTOCOL, "{V}, {V}.{W}"), (HEADER, "token {T}")], Refused(403)),
    row("marker, cookie", "", &[(PROTOCOL, "{V}"), ("cookie", "{cookie}"), ("origin", "{same}")], OpensBare),
    row("marker, header", "", &[(PROTOCOL, "{V}"), (HEADER, "token {T}")], OpensBare),
    row("marker alone", "", &[(PROTOCOL, "{V}")], Refused(403)),
    row("token entry alone", "", &[(PROTOCOL, "{V}.{T}")], Refused(400)),
    row("two different token entries", "", &[(PROTOCOL, "{V}, {V}.{T}, {V}.{T2}")], Refused(403)),
    row("the same token entry twice", "", &[(PROTOCOL, "{V}, {V}.{T}, {V}.{T}")], Refused(403)),
    row("empty token entry", "", &[(PROTOCOL, "{V}, {V}.")], Refused(403)),
    row("token entry with an invalid escape", "", &[(PROTOCOL, "{V}, {V}.%zz")], Refused(403)),
    row("token entry that is not UTF-8", "", &[(PROTOCOL, "{V}, {V}.%ff")], Refused(403)),
    row("token entry with escapes", "", &[(PROTOCOL, "{V}, {V}.a%2Fb%3D%2B%20%28%29%C3%A9")], Opens("{V}")),
    row("token entry with plus signs", "", &[(PROTOCOL, "{V}, {V}.a%2Fb%3D++%28%29%C3%A9")], Refused(403)),
    row("marker and token entry in two lines", "", &[(PROTOCOL, "{V}"), (PROTOCOL, "{V}.{T}")], Opens("{V}")),
    row("tabs and spaces", "", &[(PROTOCOL, "\t{V} ,\t  {V}.{T}\t ")], Opens("{V}")),
    row("marker and token entry in another case", "", &[(PROTOCOL, "V1.token.websocket.jupyter.org, V1.token.websocket.jupyter.org.{T}")], Refused(403)),
    row("token entry, cross origin", "", &[(PROTOCOL, "{V}, {V}.{T}"), ("origin", "http://evil.example")], Opens("{V}")),
    row("the same token in three carriers", "?token={T}", &[(HEADER, "token {T}"), (PROTOCOL, "{V}, {V}.{T}")], Opens("{V}")),
];

/// The observed behavior of Jupyter Server 2.21.1, and the additions of the JEP. Where the two
/// differ, the JEP takes precedence, because 2.21.1 does not know its tokens.
#[rustfmt::skip]
const COMPAT: &[Row] = &[
    row("no credential", "", &[], Refused(403)),
    row("header, token scheme", "", &[(HEADER, "token {T}")], OpensBare),
    row("header, scheme in upper case", "", &[(HEADER, "BEARER {T}")], OpensBare),
    row("header, tab after the scheme", "", &[(HEADER, "token\t{T}")], OpensBare),
    row("header, two spaces after the scheme", "", &[(HEADER, "Token  {T}")], OpensBare),
    row("header, no scheme", "", &[(HEADER, "{T}")], Refused(403)),
    row("header, Basic scheme", "", &[(HEADER, "Basic {T}")], Refused(403)),
    row("header, unknown scheme", "", &[(HEADER, "xtoken {T}")], Refused(403)),
    row("wrong header", "", &[(HEADER, "token {W}")], Refused(403)),
    row("query", "?token={T}", &[], OpensBare),
    row("query, spaces", "?token=%20{T}%20", &[], OpensBare),
    row("query, the same header", "?token={T}", &[(HEADER, "token {T}")], OpensBare),
    row("wrong query", "?token={W}", &[], Refused(403)),
    row("query, name in upper case", "?TOKEN={T}", &[], Refused(403)),
    row("query, wrong query", "?token={T}&token={W}", &[], Refused(403)),
    row("empty query, header", "?token=", &[(HEADER, "token {T}")], OpensBare),
    row("wrong query, header", "?token={W}", &[(HEADER, "token {T}")], Refused(403)),
    row("query, wrong header", "?token={T}", &[(HEADER, "token {W}")], OpensBare),
    row("wrong query, query", "?token={W}&token={T}", &[], OpensBare),
    row("header, wrong header", "", &[(HEADER, "token {T}"), (HEADER, "token {W}")], Refused(403)),
    row("the same header twice", "", &[(HEADER, "token {T}"), (HEADER, "token {T}")], Refused(403)),
    row("cookie, wrong header", "", &[("cookie", "{cookie}"), (HEADER, "token {W}")], OpensBare),
    row("cookie, wrong query", "?token={W}", &[("cookie", "{cookie}")], OpensBare),
    row("query that is not UTF-8", "?token=%ff", &[], Refused(400)),
    row("header, cross origin", "", &[(HEADER, "token {T}"), ("origin", "http://evil.example")], OpensBare),
    row("query, cross origin", "?token={T}", &[("origin", "http://evil.example")], OpensBare),
    row("cookie, cross origin", "", &[("cookie", "{cookie}"), ("origin", "http://evil.example")], Refused(403)),
    row("cookie, null origin", "", &[("cookie", "{cookie}"), ("origin", "null")], Refused(403)),
    row("cookie, other port", "", &[("cookie", "{cookie}"), ("origin", "{same}:8080")], Refused(403)),
    row("cookie, same origin", "", &[("cookie", "{cookie}"), ("origin", "{same}")], OpensBare),
    row("cookie, same origin over https", "", &[("cookie", "{cookie}"), ("origin", "https://localhost")], OpensBare),
    row("cookie, no origin", "", &[("cookie", "{cookie}")], OpensBare),
    row("wrong cookie", "", &[("cookie", "session={W}")], Refused(403)),
    // Jupyter Server opens, because tornado 6.6 trusts Sec-Fetch-Site. Portcullis reads the origin
    // from no header but Origin.
    row("cookie, cross origin, same-origin fetch metadata", "", &[("cookie", "{cookie}"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")], Refused(403)),
    row("cookie, no origin, cross-site fetch metadata", "", &[("cookie", "{cookie}"), ("sec-fetch-site", "cross-site")], Refused(403)),
    row("unknown resource, header", "unknown", &[(HEADER, "token {T}")], Refused(404)),
    row("unknown resource, no credential", "unknown", &[], Refused(403)),
    row("header, unknown host", "", &[(HEADER, "token {T}"), ("host", "evil.example")], Refused(403)),
    row("header, host with a port", "", &[(HEADER, "token {T}"), ("host", "localhost:1")], OpensBare),
    row("header, IPv6 host", "", &[(HEADER, "token {T}"), ("host", "[::1]:1")], OpensBare),

    row("kernel", "", &[(HEADER, "token {T}"), (PROTOCOL, "{K}")], Opens("{K}")),
    row("other protocol, kernel", "", &[(HEADER, "token {T}"), (PROTOCOL, "bar, {K}")], Opens("{K}")),
    row("other protocol and kernel in two lines", "", &[(HEADER, "token {T}"), (PROTOCOL, "bar"), (PROTOCOL, "{K}")], Opens("{K}")),
    row("other protocol", "", &[(HEADER, "token {T}"), (PROTOCOL, "bar")], OpensBare),

    row("marker, token entry", "", &[(PROTOCOL, "{V}, {V}.{T}")], Opens("{V}")),
    row("kernel, marker, token entry", "", &[(PROTOCOL, "{K}, {V}, {V}.{T}")], Opens("{K}")),
    row("marker, token entry, kernel", "", &[(PROTOCOL, "{V}, {V}.{T}, {K}")], Opens("{K}")),
    row("kernel, token entry", "", &[(PROTOCOL, "{K}, {V}.{T}")], Opens("{K}")),
    row("other protocol, token entry", "", &[(PROTOCOL, "foo, {V}.{T}")], Opens("foo")),
    row("marker, wrong token entry", "", &[(PROTOCOL, "{V}, {V}.{W}")], Refused(403)),
    // 2.21.1 ignores V.W, so the other credential decides. The JEP requires a 403.
    row("marker, wrong token entry, cookie", "", &[(PROTOCOL, "{V}, {V}.{W}"), ("cookie", "{cookie}")], Refused(403)),
    row("marker, wrong token entry, header", "", &[(PROTOCOL, "{V}, {V}.{W}"), (HEADER, "token {T}")], Refused(403)),
    row("marker, cookie", "", &[(PROTOCOL, "{V}"), ("cookie", "{cookie}")], OpensBare),
    row("marker, header", "", &[(PROTOCOL, "{V}"), (HEADER, "token {T}")], OpensBare),
    row("marker alone", "", &[(PROTOCOL, "{V}")], Refused(403)),
    row("token entry alone", "", &[(PROTOCOL, "{V}.{T}")], OpensBare),
    row("two different token entries", "", &[(PROTOCOL, "{V}, {V}.{T}, {V}.{T2}")], Opens("{V}")),
    row("token entry, wrong token entry", "", &[(PROTOCOL, "{V}, {V}.{T}, {V}.{W}")], Opens("{V}")),
    row("wrong token entry, token entry", "", &[(PROTOCOL, "{V}, {V}.{W}, {V}.{T}")], Refused(403)),
    row("empty token entry", "", &[(PROTOCOL, "{V}, {V}.")], Refused(403)),
    row("token entry with an invalid escape", "", &[(PROTOCOL, "{V}, {V}.%zz")], Refused(403)),
    row("token entry that is not UTF-8", "", &[(PROTOCOL, "{V}, {V}.%ff")], Refused(403)),
    row("token entry with escapes", "", &[(PROTOCOL, "{V}, {V}.a%2Fb%3D%2B%20%28%29%C3%A9")], Opens("{V}")),
    row("marker and token entry in two lines", "", &[(PROTOCOL, "{V}"), (PROTOCOL, "{V}.{T}")], Opens("{V}")),
    row("marker and token entry in another case", "", &[(PROTOCOL, "V1.token.websocket.jupyter.org, V1.token.websocket.jupyter.org.{T}")], Refused(403)),
    row("token entry, wrong header", "", &[(PROTOCOL, "{V}, {V}.{T}"), (HEADER, "token {W}")], Refused(403)),
    row("token entry, wrong query", "?token={W}", &[(PROTOCOL, "{V}, {V}.{T}")], Refused(403)),
    row("token entry, cross origin", "", &[(PROTOCOL, "{V}, {V}.{T}"), ("origin", "http://evil.example")], Opens("{V}")),
];
