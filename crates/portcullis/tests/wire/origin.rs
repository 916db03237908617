//! Which pages may use a cookie: RFC 6454, RFC 6455 §10.2, and the ways in which comparing origins
//! has gone wrong elsewhere. What is refused costs no question to the verifier.

use http::header::{COOKIE, ORIGIN};
use portcullis::carrier::{Authorization, Cookie};
use portcullis::testing::{TestClient, TestRequest};
use portcullis::{AuthLayer, Profile};

use crate::outcome::Outcome;
use crate::site::{Over, Site, Verifier};
use crate::table::Table;

const TOKENS: &[(&str, &str)] = &[("alice", "s3cret")];
const PASSES: &str = "open alice by cookie";
const FOREIGN: &str = "403 foreign-origin";

/// `https://app.example.com` is allowed: by name, or since it is the server itself.
const SPELLINGS: &[(&str, &str)] = &[
    ("https://app.example.com", PASSES),
    ("https://app.example.com:443", PASSES),
    // Browsers write both in lower case.
    ("HTTPS://APP.EXAMPLE.COM", FOREIGN),
    ("https://App.example.com", FOREIGN),
    ("https://app.example.com:444", FOREIGN),
    ("https://app.example.com:80", FOREIGN),
    ("https://app.example.com:0443", PASSES),
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
async fn every_spelling_of_an_allowed_origin() {
    let listed = Site::new(TOKENS, |auth| {
        with_cookie(auth)
            .origins(["https://app.example.com"])
            .unwrap()
    });
    run(&listed, SPELLINGS).await;
    let own = Site::new(TOKENS, |auth| with_cookie(auth).https()).authority("app.example.com");
    run(&own, SPELLINGS).await;
    let own_port = Site::new(TOKENS, |auth| with_cookie(auth).https());
    run(&own_port.authority("app.example.com:443"), SPELLINGS).await;
}

/// The server's own origin, as it is without any setting: `http://localhost`.
#[tokio::test]
async fn the_own_origin() {
    let rows = [
        ("http://localhost", PASSES),
        ("http://localhost:80", PASSES),
        ("http://localhost:8080", FOREIGN),
        ("https://localhost", FOREIGN),
        ("https://localhost:80", FOREIGN),
        ("http://127.0.0.1", FOREIGN),
        ("http://[::1]", FOREIGN),
        ("http://localhost.evil.com", FOREIGN),
        ("http://evil.com", FOREIGN),
        ("ws://localhost", FOREIGN),
        // The page of an app on the visitor's telephone.
        ("capacitor://localhost", FOREIGN),
        ("null", FOREIGN),
    ];
    run(&Site::new(TOKENS, with_cookie), &rows).await;

    let address = Site::new(TOKENS, with_cookie).authority("[::1]:8888");
    let rows = [
        ("http://[::1]:8888", PASSES),
        ("http://[::1]", FOREIGN),
        ("http://[::2]:8888", FOREIGN),
        ("http://[0:0:0:0:0:0:0:1]:8888", FOREIGN),
        ("http://localhost:8888", FOREIGN),
    ];
    run(&address, &rows).await;
}

/// Only the leftmost label, and never the name itself.
#[tokio::test]
async fn wildcards() {
    let site = Site::new(TOKENS, |auth| {
        with_cookie(auth)
            .origins(["https://*.example.com"])
            .unwrap()
    });
    let rows = [
        ("https://app.example.com", PASSES),
        ("https://a.b.example.com", PASSES),
        ("https://app.example.com:443", PASSES),
        ("https://example.com", FOREIGN),
        ("https://.example.com", FOREIGN),
        ("https://xexample.com", FOREIGN),
        ("https://app.example.com.evil.com", FOREIGN),
        ("https://app.example.com:444", FOREIGN),
        ("http://app.example.com", FOREIGN),
        ("https://*.example.com", FOREIGN),
    ];
    run(&site, &rows).await;
}

/// What NATS decides (its tests of `checkOrigin`), by whether the server's own origin is asked for,
/// the list, the host, whether over TLS, and the origin. Where we differ, the reason is beside it.
#[rustfmt::skip]
const NATS: &[(&[&str], &str, bool, &str, &str)] = &[
    // Without a list and without `same_origin` it lets every page in. Our own origin is always the
    // rule, so this is `insecure_any_origin`; see `any_origin`.
    (&[], "host.com", false, "http://any.host.com", FOREIGN),
    (&[], "host.com", false, "http://host.com:80", PASSES),
    (&[], "host.com", false, "http://other.host.com", FOREIGN),
    (&[], "host.com", false, "http://host.com:81", FOREIGN),
    (&[], "host.com:443", true, "http://host.com:443", FOREIGN),
    (&[], "host.com", true, "http://host.com", FOREIGN),
    (&[], "host.com", false, "@@@://invalid:url:1234", FOREIGN),
    (&[], "host.com", false, "http://invalid:url:1234", FOREIGN),
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "http://host2.com:1234", PASSES),
    // It ignores the path. An origin has none, so we take this for no origin.
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "http://host1.com/some/path", FOREIGN),
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "http://host1.com", PASSES),
    (&["http://host3.com", "https://host3.com"], "localhost", false, "http://host3.com", PASSES),
    (&["http://host3.com", "https://host3.com"], "localhost", false, "https://host3.com", PASSES),
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "http://host1.com:1234", FOREIGN),
    (&["http://host1.com", "http://host2.com:1234"], "localhost", false, "https://host2.com:1234", FOREIGN),
];

#[tokio::test]
async fn nats() {
    for (list, host, tls, origin, expected) in NATS {
        let site = Site::new(TOKENS, |auth| {
            let auth = with_cookie(auth).origins(list.iter().copied()).unwrap();
            if *tls { auth.https() } else { auth }
        });
        run(&site.authority(host), &[(origin, expected)]).await;
    }
    // Its row of a host that is none; over HTTP/2 no client gets so far.
    let site = Site::new(TOKENS, with_cookie).only(Over::Http1);
    let outcome = site
        .ask(|client| {
            let request = page(client, "http://host.com").without("host");
            request.header("host", "invalid:url:1234")
        })
        .await;
    assert_eq!(outcome.to_string(), FOREIGN);
}

/// What is not one origin.
#[tokio::test]
async fn none_two_and_a_very_long_one() {
    let site = Site::new(TOKENS, with_cookie);
    let own = "http://localhost";
    let mut table = Table::new();
    let outcome = site
        .ask(|client| client.websocket("/ws").header(COOKIE, "s=s3cret"))
        .await;
    // Every browser sends one, so a client without is none that needs a cookie. NATS lets it in.
    table.row("no origin", FOREIGN, &outcome);
    assert_eq!(outcome.asked, 0);
    let outcome = site.ask(|client| page(client, own).origin(own)).await;
    table.row("two origins", "400 malformed-handshake", &outcome);
    let outcome = site
        .ask(|client| page(client, "http://evil.com").origin(own))
        .await;
    table.row("two others", "400 malformed-handshake", &outcome);
    table.finish();

    // HTTP/2 has a limit of its own for all headers together.
    let long = format!("http://{}", "a".repeat(64 * 1024));
    let site = Site::new(TOKENS, with_cookie).only(Over::Http1);
    run(&site, &[(&long, FOREIGN)]).await;
}

/// No other header vouches for a page.
#[tokio::test]
async fn no_other_header_vouches() {
    let site = Site::new(TOKENS, with_cookie);
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
        let outcome = site.ask(foreign).await;
        table.row((name, value), FOREIGN, &outcome);
        let absent = |client: &TestClient| foreign(client).without("origin");
        let outcome = site.ask(absent).await;
        table.row((name, value, "and no origin"), FOREIGN, &outcome);
        assert_eq!(outcome.asked, 0);
    }
    // Nor does it speak against one.
    let outcome = site
        .ask(|client| page(client, "http://localhost").header("x-forwarded-proto", "https"))
        .await;
    table.row("x-forwarded-proto", PASSES, outcome);
    table.finish();
}

/// The switches that widen and narrow the rule.
#[tokio::test]
async fn switches() {
    type Settings = fn(AuthLayer<Verifier>) -> AuthLayer<Verifier>;
    let absent: Settings = |auth| with_cookie(auth).allow_absent_origin();
    let any: Settings = |auth| with_cookie(auth).insecure_any_origin();
    #[rustfmt::skip]
    let rows: [(&str, Settings, Option<&str>, &str); 8] = [
        ("allow_absent_origin", absent, None, PASSES),
        ("allow_absent_origin", absent, Some("http://localhost"), PASSES),
        ("allow_absent_origin", absent, Some("null"), FOREIGN),
        ("allow_absent_origin", absent, Some("http://evil.com"), FOREIGN),
        ("insecure_any_origin", any, None, PASSES),
        ("insecure_any_origin", any, Some("http://any.host.com"), PASSES),
        ("insecure_any_origin", any, Some("null"), PASSES),
        ("insecure_any_origin", any, Some(""), PASSES),
    ];
    let mut table = Table::new();
    for (name, settings, origin, expected) in rows {
        let site = Site::new(TOKENS, settings);
        let outcome = site
            .ask(|client| {
                let cookie = client.websocket("/ws").header(COOKIE, "s=s3cret");
                origin.into_iter().fold(cookie, TestRequest::origin)
            })
            .await;
        table.row((name, origin), expected, outcome);
    }
    table.finish();
}

/// A token proves that the page knows it, so its origin does not matter; unless somebody wants it
/// to. A password that a browser remembers is in between: it comes by itself, but then the browser
/// says for which page.
#[tokio::test]
async fn explicit_credentials() {
    const TOKEN: &str = "open alice by authorization";
    const PASSWORD: &str = "open alice by authorization (basic)";
    let rows = [
        (None, TOKEN, FOREIGN, PASSWORD),
        (Some("http://localhost"), TOKEN, TOKEN, PASSWORD),
        (Some("http://evil.com"), TOKEN, FOREIGN, FOREIGN),
        (Some("null"), TOKEN, FOREIGN, FOREIGN),
        (Some(""), TOKEN, FOREIGN, FOREIGN),
    ];
    let plain = Site::new(TOKENS, with_cookie);
    let strict = Site::new(TOKENS, |auth| with_cookie(auth).origins_for_all());
    let mut table = Table::new();
    for (origin, token, token_for_all, password) in rows {
        let from = |request: TestRequest| origin.into_iter().fold(request, TestRequest::origin);
        let bearer = |client: &TestClient| from(client.websocket("/ws").bearer("s3cret"));
        let basic = |client: &TestClient| from(client.websocket("/ws").basic("alice", "s3cret"));
        table.row((origin, "token"), token, plain.ask(bearer).await);
        table.row(
            (origin, "token, for all"),
            token_for_all,
            strict.ask(bearer).await,
        );
        table.row((origin, "password"), password, plain.ask(basic).await);
    }
    table.finish();
}

/// A page's own browser keeps it from reading what another origin answers to a `GET`, but sends a
/// `POST` before it asks.
#[tokio::test]
async fn requests_that_open_no_socket() {
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
    let site = Site::new(TOKENS, with_cookie);
    let mut table = Table::new();
    for (method, origin, fetch_site, expected) in rows {
        let outcome = site
            .ask(|client| {
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

/// DNS rebinding: `evil.com` resolves to our address, so its pages have our own origin.
#[tokio::test]
async fn hosts() {
    const UNKNOWN: &str = "421 unknown-host";
    let rows = [
        ("localhost", PASSES),
        ("localhost:8888", PASSES),
        ("LOCALHOST", PASSES),
        ("127.0.0.1:8888", PASSES),
        ("[::1]:8888", PASSES),
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
        let site = Site::new(TOKENS, |auth| {
            with_cookie(auth).hosts(["localhost", "127.0.0.1", "[::1]"])
        });
        let site = site.authority(host);
        let origin = format!("http://{}", host.to_lowercase());
        let outcome = site.ask(|client| page(client, &origin)).await;
        table.row(host, expected, &outcome);
        // A token does not help, and neither does it to open no socket.
        let by_token = site
            .ask(|client| client.websocket("/ws").bearer("s3cret"))
            .await;
        let page = site
            .ask(|client| client.get("/page").bearer("s3cret"))
            .await;
        if expected == UNKNOWN {
            table.row((host, "token"), UNKNOWN, &by_token);
            table.row((host, "page"), UNKNOWN, &page);
            assert_eq!([outcome.asked, by_token.asked, page.asked], [0; 3]);
        }
    }
    table.finish();
}

/// A request that names two hosts names none: proxies disagree about which of them counts.
#[tokio::test]
async fn two_hosts_are_none() {
    let own = "http://localhost";
    let site = Site::new(TOKENS, with_cookie).only(Over::Http2);
    for (host, expected) in [("localhost", PASSES), ("evil.com", FOREIGN)] {
        let outcome = site
            .ask(|client| page(client, own).header("host", host))
            .await;
        assert_eq!(outcome.to_string(), expected, "{host}");
    }
    let site = Site::new(TOKENS, |auth| with_cookie(auth).hosts(["localhost"]));
    let outcome = site
        .only(Over::Http2)
        .ask(|client| page(client, own).header("host", "evil.com"))
        .await;
    assert_eq!(outcome.to_string(), "421 unknown-host");
}

fn with_cookie(auth: AuthLayer<Verifier>) -> AuthLayer<Verifier> {
    let profile = Profile::new("cookie")
        .carrier(Authorization::bearer().and_basic())
        .carrier(Cookie::named("s"));
    auth.profile(profile)
}

fn page(client: &TestClient, origin: &str) -> TestRequest {
    let handshake = client.websocket("/ws").header(COOKIE, "s=s3cret");
    handshake.header(ORIGIN, origin.as_bytes())
}

async fn run(site: &Site, rows: &[(&str, &str)]) {
    let mut table = Table::new();
    for (origin, expected) in rows {
        let outcome: Outcome = site.ask(|client| page(client, origin)).await;
        table.row(origin, expected, &outcome);
        let asked = usize::from(*expected == PASSES);
        table.row((origin, "asked"), asked, outcome.asked);
    }
    table.finish();
}
