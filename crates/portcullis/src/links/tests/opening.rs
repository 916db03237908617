//! A page that is opened with a token logs the browser in. No other request does.

use super::*;
use crate::links::LinkPolicy;

#[tokio::test]
async fn link_sets_a_cookie_that_admits_pages_and_sockets() {
    for slow in [false, true] {
        let server = Server::with(slow, |layer| layer);
        let mut jar = Jar::default();

        let response = server
            .open("/lab?a=1&token=alice-1&b=%20", TYPED, &jar)
            .await;
        assert_eq!(outcome(&response), "303 set");
        assert_eq!(response.headers()["location"], "/lab?a=1&b=%20");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(response.body().is_empty());
        jar.take(response.headers());

        let response = server.open("/lab?a=1&b=%20", TYPED, &jar).await;
        assert_eq!(outcome(&response), "pass 200");
        assert_eq!(response.body(), "alice at /lab?a=1&b=%20");

        let ours = format!("{UPGRADE} | origin: http://localhost:8888");
        let response = server.open("/ws", &ours, &jar).await;
        assert_eq!(response.body(), "alice at /ws");
        for origin in ["http://localhost:9999", "http://evil.example", "null"] {
            let foreign = format!("{UPGRADE} | origin: {origin}");
            let response = server.open("/ws", &foreign, &jar).await;
            assert_eq!(outcome(&response), "pass 403", "{origin}");
        }
        let response = server.open("/ws", UPGRADE, &jar).await;
        assert_eq!(outcome(&response), "pass 403", "no origin");
    }
}

/// All combinations of cookie, token and origin of the link.
#[tokio::test]
async fn outcome_depends_on_cookie_token_and_origin() {
    #[rustfmt::skip]
    let table = [
        // cookie             token of the link       sec-fetch-site  outcome
        ("nothing",           "alice-1",              "none",         "303 set"),
        ("nothing",           "alice-1",              "same-origin",  "303 set"),
        ("nothing",           "alice-1",              "",             "303 set"),
        ("nothing",           "alice-1",              "cross-site",   "ask"),
        ("nothing",           "alice-1",              "same-site",    "ask"),
        ("nothing",           "alice-1",              "something",    "ask"),
        ("nothing",           "alice-ends in 90 s",   "none",         "303 set"),
        ("nothing",           "alice-ends at once",   "none",         "pass 200"),
        ("nothing",           "alice-has ended",      "none",         "pass 403"),
        ("nothing",           "mallory",              "none",         "pass 403"),
        ("nothing",           "mallory",              "cross-site",   "pass 403"),
        ("nothing",           "forbidden",            "none",         "pass 403"),
        ("nothing",           "down",                 "none",         "pass 503"),
        ("nothing",           "down",                 "cross-site",   "pass 503"),
        ("nothing",           "boom",                 "none",         "pass 500"),

        ("alice-1",           "alice-1",              "none",         "303 set"),
        ("alice-1",           "alice-1",              "cross-site",   "303 set"),
        ("alice-1",           "alice-2",              "none",         "303 set"),
        ("alice-1",           "alice-2",              "cross-site",   "303 set"),
        ("alice-1",           "mallory",              "none",         "pass 403"),
        ("alice-1",           "down",                 "none",         "pass 503"),
        ("alice-1",           "boom",                 "none",         "pass 500"),

        // The valid cookie of another user is never replaced.
        ("alice-1",           "bob-1",                "none",         "switch"),
        ("alice-1",           "bob-1",                "same-origin",  "switch"),
        ("alice-1",           "bob-1",                "same-site",    "switch"),
        ("alice-1",           "bob-1",                "cross-site",   "switch"),
        ("alice-1",           "bob-1",                "",             "switch"),
        ("alice-1",           "alice-other issuer",   "none",         "switch"),
        ("alice-other issuer","alice-1",              "none",         "switch"),

        // An invalid cookie is replaced.
        ("mallory",           "bob-1",                "none",         "303 set"),
        ("mallory",           "bob-1",                "cross-site",   "ask"),
        ("alice-has ended",   "bob-1",                "none",         "303 set"),
        ("forbidden",         "bob-1",                "none",         "303 set"),
        ("a broken cookie",   "bob-1",                "none",         "303 set"),
        ("a broken cookie",   "bob-1",                "cross-site",   "ask"),
        ("a broken cookie",   "mallory",              "none",         "pass 403 clear"),
        ("a broken cookie",   "down",                 "none",         "pass 503 clear"),

        // Whether these cookies are valid is unknown. The token is accepted, and the cookie stays.
        ("down",              "bob-1",                "none",         "pass 200"),
        ("boom",              "bob-1",                "none",         "pass 200"),
        ("two cookies",       "bob-1",                "none",         "pass 200"),
        ("two cookies",       "mallory",              "none",         "pass 403"),
    ];
    for slow in [false, true] {
        let server = Server::with(slow, |layer| layer);
        for (cookie, token, site, expected) in table {
            let mut jar = match cookie {
                "nothing" => Jar::default(),
                "a broken cookie" | "two cookies" => server.jar("alice-1"),
                token => server.jar(token),
            };
            match cookie {
                "a broken cookie" => jar.0[0].1.push('A'),
                "two cookies" => jar.0.extend(server.jar("bob-1").0),
                _ => {}
            }
            let lines = match site {
                "" => PAGE.to_owned(),
                site => format!("{PAGE} | sec-fetch-site: {site}"),
            };
            let target = format!("/?token={}", token.replace(' ', "%20"));
            let response = server.open(&target, &lines, &jar).await;
            let case = format!("{cookie}, {token}, {site:?}, slow {slow}");
            assert_eq!(outcome(&response), expected, "{case}");

            let before = jar.clone();
            jar.take(response.headers());
            if !expected.ends_with("set") && !expected.ends_with("clear") {
                assert_eq!(jar.0, before.0, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn policy_decides_which_links_ask() {
    let policies = [
        (LinkPolicy::AskAlways, ["ask", "ask", "ask"]),
        (LinkPolicy::AskIfForeign, ["303 set", "303 set", "ask"]),
        (LinkPolicy::TrustAnySite, ["303 set", "303 set", "303 set"]),
    ];
    for (policy, expected) in policies {
        let server = Server::with(false, |layer| layer.link_policy(policy));
        let sites = [
            "",
            " | sec-fetch-site: none",
            " | sec-fetch-site: cross-site",
        ];
        for (site, expected) in sites.into_iter().zip(expected) {
            let lines = format!("{PAGE}{site}");
            let open = async |jar| outcome(&server.open("/?token=alice-1", &lines, &jar).await);
            assert_eq!(open(Jar::default()).await, expected, "{policy:?}{site}");
            assert_eq!(
                open(server.jar("alice-2")).await,
                "303 set",
                "{policy:?}{site}"
            );
            assert_eq!(
                open(server.jar("bob-1")).await,
                "switch",
                "{policy:?}{site}"
            );
        }
    }
}

/// Admission accepts the token, and the cookies of the browser do not change.
#[tokio::test]
async fn request_that_opens_no_page_sets_no_cookie() {
    #[rustfmt::skip]
    let table = [
        ("GET",     "accept: */*"),
        ("GET",     "accept: application/json"),
        ("GET",     "user-agent: curl"),
        ("GET",     "accept: text/html | sec-fetch-mode: cors | sec-fetch-dest: empty"),
        ("GET",     "accept: text/html | sec-fetch-mode: no-cors | sec-fetch-dest: image"),
        ("GET",     "accept: text/html | sec-fetch-mode: no-cors | sec-fetch-dest: script"),
        ("GET",     "accept: text/html | sec-fetch-mode: navigate | sec-fetch-dest: iframe"),
        ("GET",     "accept: text/html | sec-fetch-mode: navigate | sec-fetch-dest: frame"),
        ("GET",     "accept: text/html | sec-fetch-mode: navigate | sec-fetch-dest: embed"),
        ("GET",     "accept: text/html | sec-fetch-mode: navigate | sec-fetch-dest: object"),
        ("GET",     "accept: text/html | sec-purpose: prefetch"),
        ("GET",     "accept: text/html | sec-purpose: prefetch;prerender"),
        ("GET",     "accept: text/html | purpose: prefetch"),
        ("HEAD",    "accept: text/html"),
        ("POST",    "accept: text/html"),
        ("PUT",     "accept: text/html"),
        ("DELETE",  "accept: text/html"),
        ("OPTIONS", "accept: text/html"),
    ];
    for slow in [false, true] {
        let server = Server::with(slow, |layer| layer);
        for (method, lines) in table {
            let site = "sec-fetch-site: same-origin | origin: http://localhost:8888";
            let lines = format!("host: localhost:8888 | {site} | {lines}");
            for jar in [Jar::default(), server.jar("alice-1"), server.jar("mallory")] {
                let sent = request(method, "/?token=bob-1", &lines, &jar);
                let response = server.send(sent).await;
                assert_eq!(outcome(&response), "pass 200", "{method} {lines}");
                assert_eq!(response.body(), "bob at /", "{method} {lines}");
            }
        }
    }
}

#[tokio::test]
async fn upgrade_neither_sets_nor_removes_the_cookie() {
    let server = Server::new();
    let mut broken = server.jar("alice-1");
    broken.0[0].1.push('A');
    let page = "accept: text/html | sec-fetch-mode: navigate | origin: http://localhost:8888";
    for (jar, token, expected) in [
        (Jar::default(), "?token=alice-1", "pass 200"),
        (server.jar("alice-1"), "?token=bob-1", "pass 200"),
        (server.jar("mallory"), "?token=bob-1", "pass 200"),
        (broken.clone(), "?token=bob-1", "pass 200"),
        (broken, "", "pass 403"),
        (server.jar("mallory"), "", "pass 403"),
    ] {
        let lines = format!("{UPGRADE} | {page}");
        let response = server.open(&format!("/ws{token}"), &lines, &jar).await;
        assert_eq!(outcome(&response), expected, "{token}");
    }
    // The same applies to an invalid upgrade.
    let lines = format!("{TYPED} | upgrade: h2c");
    let response = server
        .open("/?token=alice-1", &lines, &Jar::default())
        .await;
    assert_eq!(outcome(&response), "pass 400");
}

/// With DNS rebinding the page has the same origin as the server.
#[tokio::test]
async fn unknown_host_sets_no_cookie() {
    let server = Server::new();
    let mut broken = server.jar("alice-1");
    broken.0[0].1.push('A');
    for host in [
        "evil.example",
        "localhost.evil.example",
        "localhost@evil",
        "127.0.0.1:8888",
    ] {
        let lines = TYPED.replace("localhost:8888", host);
        for jar in [Jar::default(), broken.clone()] {
            let response = server.open("/?token=alice-1", &lines, &jar).await;
            assert_eq!(outcome(&response), "pass 403", "{host}");
        }
    }
    let lines = TYPED.replace("localhost:8888", "LOCALHOST");
    let response = server
        .open("/?token=alice-1", &lines, &Jar::default())
        .await;
    assert_eq!(outcome(&response), "303 set");
}

#[tokio::test]
async fn token_is_read_from_the_named_parameter() {
    let server = Server::with(false, |layer| layer.parameter("ticket"));
    #[rustfmt::skip]
    let table = [
        ("/?ticket=alice-1",          "303 set"),
        ("/?%74icket=alice-1",        "303 set"),
        ("/?ticket=alice%2D1",        "303 set"),
        ("/?Ticket=alice-1",          "pass 403"),
        ("/?ticket[]=alice-1",        "pass 403"),
        ("/?xticket=alice-1",         "pass 403"),
        ("/?ticket",                  "pass 403"),
        ("/?ticket=",                 "pass 403"),
        ("/?ticket=alice-1&ticket=b", "pass 403"),
        ("/?ticket=alice%2-1",        "pass 403"),
        ("/?ticket=alice-1%00",       "pass 403"),
        ("/;ticket=alice-1",          "pass 403"),
        // Only admission reads this parameter.
        ("/?token=alice-1",           "pass 200"),
    ];
    for (target, expected) in table {
        let response = server.open(target, TYPED, &Jar::default()).await;
        assert_eq!(outcome(&response), expected, "{target}");
    }
}

#[tokio::test]
async fn request_that_passes_is_unchanged() {
    let layer = PersistTokenLayer::new(Server::new().verifier, Server::new().cookie);
    let echo = tower::service_fn(async |request: Request<String>| {
        let headers = format!("{:?}", request.headers());
        Ok::<_, Infallible>(Response::new(Bytes::from(format!(
            "{} {} {headers} {}",
            request.method(),
            request.uri(),
            request.body()
        ))))
    });
    for target in [
        "/?token=mallory&a=%20",
        "/?token=a&token=b",
        "//evil?token",
        "/plain",
    ] {
        let sent = || {
            request("GET", target, TYPED, &Server::new().jar("alice-1")).map(|_| "body".to_owned())
        };
        let around = layer.layer(echo).oneshot(sent()).await.unwrap();
        let bare = echo.oneshot(sent()).await.unwrap();
        let hide = |body: &Bytes| {
            let text = String::from_utf8(body.to_vec()).unwrap();
            // The ciphertext differs each time.
            text.split("__Host-session=").next().unwrap().to_owned()
        };
        assert_eq!(hide(around.body()), hide(bare.body()), "{target}");
    }
}
