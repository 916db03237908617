//! Which origins may use a cookie: RFC 6454, RFC 6455 §10.2, and known mistakes in comparisons of
//! origins. A refused request calls no verifier.

use http::header::{COOKIE, ORIGIN};
use portcullis::carrier::{AuthorizationCarrier, CookieCarrier};
use portcullis::testing::{TestClient, TestRequest};
use portcullis::{AuthLayer, Profile};

use crate::support::{HttpVersion, Matrix, Outcome, Table, Verifier};

const TOKENS: &[(&str, &str)] = &[("alice", "s3cret")];
const ALLOWED: &str = "open alice by cookie";
const FOREIGN: &str = "403 foreign-origin";

/// `https://app.example.com` is allowed: by a setting, or because it is the server's own origin.
const SPELLINGS: &[(&str, &str)] = &[
    ("https://app.example.com", ALLOWED),
    ("https://app.example.com:443", ALLOWED),
    // Browsers send the scheme and the host in lower case.
    ("HTTPS://APP.EXAMPLE.COM", FOREIGN),
    ("https://App.example.com", FOREIGN),
    ("https://app.example.com:444", FOREIGN),
    ("https://app.example.com:80", FOREIGN),
    ("https://app.example.com:0443", ALLOWED),
    ("https://app.example.com:", FOREIGN),
    ("https://app.example.com:+443", FOREIGN),
    ("https://app.example.com:65979", FOREIGN),
    ("http://app.example.com", FOREIGN),
    ("http://app.example.com:443", FOREIGN),
    ("wss://app.example.com", FOREIGN),
    ("https://app.example.com.evil.com", FOREIGN),
    ("https://app.example.com@evil.com", FOREIGN),
    ("https://evil.com@app.example.com", FOREIGN),
    ("https://evil.com/https://app.example.com", FOREIGN),
    ("https://app.example.com:443@evil", FOREIGN),
    ("https://evil.com#https://app.example.com", FOREIGN),
    ("https://xapp.example.com", FOREIGN),
    ("https://example.com", FOREIGN),
    ("https://x.app.example.com", FOREIGN),
    ("https://app.example.com.", FOREIGN),
    ("https://app%2eexample.com", FOREIGN),
    ("https://appxexample.com", FOREIGN),
    ("https://аpp.example.com", FOREIGN),
    ("https://xn--pp-6kc.example.com", FOREIGN),
    ("https://[::1]", FOREIGN),
    ("https://127.0.0.1", FOREIGN),
    ("null", FOREIGN),
    ("", FOREIGN),
    ("*", FOREIGN),
    ("app.example.com", FOREIGN),
    ("//app.example.com", FOREIGN),
    ("https:app.example.com", FOREIGN),
    ("https:///app.example.com", FOREIGN),
    ("https://app.example.com/", FOREIGN),
    ("https://app.example.com/path", FOREIGN),
    ("https://app.example.com?", FOREIGN),
    ("https://app.example.com, https://evil.com", FOREIGN),
    ("https://app.example.com https://evil.com", FOREIGN),
    ("https://app.example.com,", FOREIGN),
    ("https://app.example.com\\", FOREIGN),
    ("file://", FOREIGN),
    ("chrome-extension://abcdefghijklmnop", FOREIGN),
];

#[tokio::test]
async fn origin_must_match_exactly() {
    let listed = Matrix::new(TOKENS, |auth| {
        with_cookie(auth)
            .allow_origins(["https://app.example.com"])
            .unwrap()
    });
    check(&listed, SPELLINGS).await;
    let same = Matrix::new(TOKENS, |auth| with_cookie(auth).https()).authority("app.example.com");
    check(&same, SPELLINGS).await;
    let with_port = Matrix::new(TOKENS, |auth| with_cookie(auth).https());
    check(&with_port.authority("app.example.com:443"), SPELLINGS).await;
}

/// Without settings the same origin is `http://localhost`.
#[tokio::test]
async fn only_the_same_origin_is_allowed_by_default() {
    let rows = [
        ("http://localhost", ALLOWED),
        ("http://localhost:80", ALLOWED),
        ("http://localhost:8080", FOREIGN),
        ("https://localhost", FOREIGN),
        ("https://localhost:80", FOREIGN),
        ("http://127.0.0.1", FOREIGN),
        ("http://[::1]", FOREIGN),
        ("http://localhost.evil.com", FOREIGN),
        ("http://evil.com", FOREIGN),
        ("ws://localhost", FOREIGN),
        // A page of a mobile app (Capacitor).
        ("capacitor://localhost", FOREIGN),
        ("null", FOREIGN),
    ];
    check(&Matrix::new(TOKENS, with_cookie), &rows).await;

    let ipv6 = Matrix::new(TOKENS, with_cookie).authority("[::1]:8888");
    let rows = [
        ("http://[::1]:8888", ALLOWED),
        ("http://[::1]", FOREIGN),
        ("http://[::2]:8888", FOREIGN),
        ("http://[0:0:0:0:0:0:0:1]:8888", FOREIGN),
        ("http://localhost:8888", FOREIGN),
    ];
    check(&ipv6, &rows).await;
}

#[tokio::test]
async fn https_if_selects_the_scheme_of_the_same_origin() {
    let rows = [
        (true, "https://localhost", ALLOWED),
        (true, "http://localhost", FOREIGN),
        (false, "https://localhost", FOREIGN),
        (false, "http://localhost", ALLOWED),
    ];
    for (condition, origin, expected) in rows {
        let matrix = Matrix::new(TOKENS, |auth| with_cookie(auth).https_if(condition));
        check(&matrix, &[(origin, expected)]).await;
    }
}

/// A wildcard does not match its own domain.
#[tokio::test]
async fn wildcard_matches_subdomains_only() {
    let matrix = Matrix::new(TOKENS, |auth| {
        with_cookie(auth)
            .allow_origins(["https://*.example.com"])
            .unwrap()
    });
    let rows = [
        ("https://app.example.com", ALLOWED),
        ("https://a.b.example.com", ALLOWED),
        ("https://app.example.com:443", ALLOWED),
        ("https://example.com", FOREIGN),
        ("https://.example.com", FOREIGN),
        ("https://xexample.com", FOREIGN),
        ("https://app.example.com.evil.com", FOREIGN),
        ("https://app.example.com:444", FOREIGN),
        ("http://app.example.com", FOREIGN),
        ("https://*.example.com", FOREIGN),
    ];
    check(&matrix, &rows).await;
}

/// The tests of `checkOrigin` in the NATS server: the list, the host, whether TLS is used, the
/// origin, and the outcome. A comment explains each difference.
#[rustfmt::skip]
const NATS: &[(&[&str], &str, bool, &str, &str)] = &[
    // NATS allows every origin without a list and without `same_origin`. Here the same origin is
    // always required, unless `insecure_any_origin` is set.
    (&[], "host.com", false, "http://any.host.com", FOREIGN),
    (&[], "host.com", false, "http://host.com:80", ALLOWED),
    (&[], "host.com", false, "http://other.host.com", FOREIGN),
    (&[], "host.com", false, "http://host.com:81", FOREIGN),
    (&[], "host.com:443", true, "http://host.com:443", FOREIGN),
    (&[], "host.com", true, "http://host.com", FOREIGN),
    (&[], "host.com", false, "://invalid:url:1234", FOREIGN),
    (&[], "host.com", false, "http://invalid:url:1234", FOREIGN),
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "http://host2.com:1234", ALLOWED),
    // NATS ignores the path. An origin has no path, so this is not an origin.
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "http://host1.com/some/path", FOREIGN),
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "http://host1.com", ALLOWED),
    (&["http://host3.com", "https://host3.com"], "localhost", false, "http://host3.com", ALLOWED),
    (&["http://host3.com", "https://host3.com"], "localhost", false, "https://host3.com", ALLOWED),
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "http://host1.com:1234", FOREIGN),
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "https://host2.com:1234", FOREIGN),
];

#[tokio::test]
async fn decisions_match_the_nats_server() {
    for (list, host, tls, origin, expected) in NATS {
        let matrix = Matrix::new(TOKENS, |auth| {
            let auth = with_cookie(auth)
                .allow_origins(list.iter().copied())
                .unwrap();
            if *tls { auth.https() } else { auth }
        });
        check(&matrix.authority(host), &[(origin, expected)]).await;
    }
    // The NATS row with an invalid host. An HTTP/2 client cannot send it.
    let matrix = Matrix::new(TOKENS, with_cookie).only(HttpVersion::Http1);
    let outcome = matrix
        .send(|client| {
            let request = page(client, "http://host.com").without("host");
            request.header("host", "invalid:url:1234")
        })
        .await;
    assert_eq!(outcome.to_string(), FOREIGN);
}

#[tokio::test]
async fn absent_repeated_or_oversized_origin_is_refused() {
    let matrix = Matrix::new(TOKENS, with_cookie);
    let same = "http://localhost";
    let mut table = Table::new();
    let outcome = matrix
        .send(|client| client.websocket("/ws").header(COOKIE, "s=s3cret"))
        .await;
    // Every browser sends an origin, so this client does not need a cookie. NATS allows it.
    table.row("no origin", FOREIGN, &outcome);
    assert_eq!(outcome.verifier_calls, 0);
    let outcome = matrix.send(|client| page(client, same).origin(same)).await;
    table.row("the same origin twice", "400 malformed-handshake", &outcome);
    let outcome = matrix
        .send(|client| page(client, "http://evil.com").origin(same))
        .await;
    table.row("two different origins", "400 malformed-handshake", &outcome);
    table.finish();

    // Over HTTP/2 hyper refuses such a header.
    let long = format!("http://{}", "a".repeat(64 * 1024));
    let matrix = Matrix::new(TOKENS, with_cookie).only(HttpVersion::Http1);
    check(&matrix, &[(&long, FOREIGN)]).await;
}

#[tokio::test]
async fn no_other_header_replaces_the_origin() {
    let matrix = Matrix::new(TOKENS, with_cookie);
    let mut table = Table::new();
    for (name, value) in [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-websocket-origin", "http://localhost"),
        ("referer", "http://localhost/"),
        ("forwarded", "host=evil.com"),
        ("x-forwarded-host", "evil.com"),
        ("x-forwarded-proto", "https"),
        ("x-requested-with", "XMLHttpRequest"),
    ] {
        let foreign = |client: &TestClient| page(client, "http://evil.com").header(name, value);
        let outcome = matrix.send(foreign).await;
        table.row((name, value), FOREIGN, &outcome);
        let absent = |client: &TestClient| foreign(client).without("origin");
        let outcome = matrix.send(absent).await;
        table.row((name, value, "and no origin"), FOREIGN, &outcome);
        assert_eq!(outcome.verifier_calls, 0);
    }
    // Another header does not overrule an allowed origin either.
    let outcome = matrix
        .send(|client| page(client, "http://localhost").header("x-forwarded-proto", "https"))
        .await;
    table.row("x-forwarded-proto", ALLOWED, outcome);
    table.finish();
}

#[tokio::test]
async fn settings_allow_absent_or_any_origins() {
    type Settings = fn(AuthLayer<Verifier>) -> AuthLayer<Verifier>;
    let absent: Settings = |auth| with_cookie(auth).allow_absent_origin();
    let any: Settings = |auth| with_cookie(auth).insecure_any_origin();
    #[rustfmt::skip]
    let rows: [(&str, Settings, Option<&str>, &str); 8] = [
        ("allow_absent_origin", absent, None, ALLOWED),
        ("allow_absent_origin", absent, Some("http://localhost"), ALLOWED),
        ("allow_absent_origin", absent, Some("null"), FOREIGN),
        ("allow_absent_origin", absent, Some("http://evil.com"), FOREIGN),
        ("insecure_any_origin", any, None, ALLOWED),
        ("insecure_any_origin", any, Some("http://any.host.com"), ALLOWED),
        ("insecure_any_origin", any, Some("null"), ALLOWED),
        ("insecure_any_origin", any, Some(""), ALLOWED),
    ];
    let mut table = Table::new();
    for (name, settings, origin, expected) in rows {
        let matrix = Matrix::new(TOKENS, settings);
        let outcome = matrix
            .send(|client| {
                let cookie = client.websocket("/ws").header(COOKIE, "s=s3cret");
                origin.into_iter().fold(cookie, TestRequest::origin)
            })
            .await;
        table.row((name, origin), expected, outcome);
    }
    table.finish();
}

/// A page that sends a token knows it, so by default the origin is not checked. A browser attaches a
/// saved password automatically, so the origin of a password is checked if there is one.
#[tokio::test]
async fn origin_of_a_token_is_checked_only_on_request() {
    const TOKEN: &str = "open alice by authorization";
    const PASSWORD: &str = "open alice by authorization (basic)";
    let rows = [
        (None, TOKEN, FOREIGN, PASSWORD),
        (Some("http://localhost"), TOKEN, TOKEN, PASSWORD),
        (Some("http://evil.com"), TOKEN, FOREIGN, FOREIGN),
        (Some("null"), TOKEN, FOREIGN, FOREIGN),
        (Some(""), TOKEN, FOREIGN, FOREIGN),
    ];
    let plain = Matrix::new(TOKENS, with_cookie);
    let strict = Matrix::new(TOKENS, |auth| with_cookie(auth).check_origin_always());
    let mut table = Table::new();
    for (origin, token, token_strict, password) in rows {
        let from = |request: TestRequest| origin.into_iter().fold(request, TestRequest::origin);
        let bearer = |client: &TestClient| from(client.websocket("/ws").bearer("s3cret"));
        let basic = |client: &TestClient| from(client.websocket("/ws").basic("alice", "s3cret"));
        table.row((origin, "token"), token, plain.send(bearer).await);
        table.row(
            (origin, "token, strict"),
            token_strict,
            strict.send(bearer).await,
        );
        table.row((origin, "password"), password, plain.send(basic).await);
    }
    table.finish();
}

/// A browser does not let a page read a cross-origin response, but it does send a `POST`.
#[tokio::test]
async fn origin_of_unsafe_methods_is_checked() {
    const PAGE: &str = "200 alice by cookie";
    let rows = [
        ("GET", Some("http://evil.com"), None, PAGE),
        ("GET", None, Some("cross-site"), PAGE),
        ("HEAD", Some("http://evil.com"), None, PAGE),
        ("OPTIONS", Some("http://evil.com"), None, PAGE),
        ("POST", Some("http://evil.com"), None, FOREIGN),
        ("POST", Some("null"), None, FOREIGN),
        ("POST", Some("http://localhost"), None, PAGE),
        ("POST", None, None, PAGE),
        ("POST", None, Some("same-origin"), PAGE),
        ("POST", None, Some("none"), PAGE),
        ("POST", None, Some("same-site"), FOREIGN),
        ("POST", None, Some("cross-site"), FOREIGN),
        ("DELETE", Some("http://evil.com"), None, FOREIGN),
        ("PROPFIND", Some("http://evil.com"), None, FOREIGN),
    ];
    let matrix = Matrix::new(TOKENS, with_cookie);
    let mut table = Table::new();
    for (method, origin, fetch_site, expected) in rows {
        let outcome = matrix
            .send(|client| {
                let method = method.parse().unwrap();
                let request = client.request(method, "/page").header(COOKIE, "s=s3cret");
                let request = origin.into_iter().fold(request, TestRequest::origin);
                fetch_site.into_iter().fold(request, |request, site| {
                    request.header("sec-fetch-site", site)
                })
            })
            .await;
        table.row((method, origin, fetch_site), expected, outcome);
    }
    table.finish();
}

/// DNS rebinding: `evil.com` resolves to the server's address, so its pages are same-origin.
#[tokio::test]
async fn unknown_host_is_refused() {
    const UNKNOWN: &str = "421 unknown-host";
    let rows = [
        ("localhost", ALLOWED),
        ("localhost:8888", ALLOWED),
        ("LOCALHOST", ALLOWED),
        ("127.0.0.1:8888", ALLOWED),
        ("[::1]:8888", ALLOWED),
        ("evil.com", UNKNOWN),
        ("evil.com:8888", UNKNOWN),
        ("localhost.evil.com", UNKNOWN),
        ("localhost.", UNKNOWN),
        ("xlocalhost", UNKNOWN),
        ("127.0.0.2", UNKNOWN),
        ("[::2]", UNKNOWN),
    ];
    let mut table = Table::new();
    for (host, expected) in rows {
        let matrix = Matrix::new(TOKENS, |auth| {
            with_cookie(auth)
                .hosts(["localhost", "127.0.0.1", "[::1]"])
                .unwrap()
        });
        let matrix = matrix.authority(host);
        let origin = format!("http://{}", host.to_lowercase());
        let outcome = matrix.send(|client| page(client, &origin)).await;
        table.row(host, expected, &outcome);
        // A token and an ordinary request are refused as well.
        let by_token = matrix
            .send(|client| client.websocket("/ws").bearer("s3cret"))
            .await;
        let page = matrix
            .send(|client| client.get("/page").bearer("s3cret"))
            .await;
        if expected == UNKNOWN {
            table.row((host, "token"), UNKNOWN, &by_token);
            table.row((host, "page"), UNKNOWN, &page);
            assert_eq!(
                [
                    outcome.verifier_calls,
                    by_token.verifier_calls,
                    page.verifier_calls
                ],
                [0; 3]
            );
        }
    }
    table.finish();
}

/// Proxies disagree about which of two hosts counts, so the request has none.
#[tokio::test]
async fn request_with_two_different_hosts_is_refused() {
    let same = "http://localhost";
    let matrix = Matrix::new(TOKENS, with_cookie).only(HttpVersion::Http2);
    for (host, expected) in [("localhost", ALLOWED), ("evil.com", FOREIGN)] {
        let outcome = matrix
            .send(|client| page(client, same).header("host", host))
            .await;
        assert_eq!(outcome.to_string(), expected, "{host}");
    }
    let matrix = Matrix::new(TOKENS, |auth| {
        with_cookie(auth).hosts(["localhost"]).unwrap()
    });
    let outcome = matrix
        .only(HttpVersion::Http2)
        .send(|client| page(client, same).header("host", "evil.com"))
        .await;
    assert_eq!(outcome.to_string(), "421 unknown-host");
}

fn with_cookie(auth: AuthLayer<Verifier>) -> AuthLayer<Verifier> {
    let profile = Profile::new("cookie")
        .carrier(AuthorizationCarrier::bearer().and_basic())
        .carrier(CookieCarrier::named("s"));
    auth.profile(profile)
}

fn page(client: &TestClient, origin: &str) -> TestRequest {
    let handshake = client.websocket("/ws").header(COOKIE, "s=s3cret");
    handshake.header(ORIGIN, origin.as_bytes())
}

async fn check(matrix: &Matrix, rows: &[(&str, &str)]) {
    let mut table = Table::new();
    for (origin, expected) in rows {
        let outcome: Outcome = matrix.send(|client| page(client, origin)).await;
        table.row(origin, expected, &outcome);
        let calls = usize::from(*expected == ALLOWED);
        table.row((origin, "verifier calls"), calls, outcome.verifier_calls);
    }
    table.finish();
}
