//! The cookie as the browser receives it and sends it back.

use super::*;

#[tokio::test]
async fn set_cookie_has_the_attributes_of_the_cookie() {
    let keys = || CookieKeys::new(&key(1));
    let cookie = || SealedCookie::new("session", keys());
    #[rustfmt::skip]
    let table = [
        (cookie(),                                         "__Host-session",   "HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=28800"),
        (cookie().lifetime(Duration::from_secs(60)),       "__Host-session",   "HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"),
        (cookie().path("/lab"),                            "__Secure-session", "HttpOnly; SameSite=Lax; Secure; Path=/lab; Max-Age=28800"),
        (cookie().path("/lab").path("/"),                  "__Host-session",   "HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=28800"),
        (cookie().insecure_over_plain_http(),              "session",          "HttpOnly; SameSite=Lax; Path=/; Max-Age=28800"),
        (cookie().insecure_over_plain_http().path("/lab"), "session",          "HttpOnly; SameSite=Lax; Path=/lab; Max-Age=28800"),
        (cookie().path("/lab").insecure_over_plain_http(), "session",          "HttpOnly; SameSite=Lax; Path=/lab; Max-Age=28800"),
    ];
    for (cookie, name, attributes) in table {
        let clock = TestClock::default();
        let cookie = cookie.clock(clock.clone());
        assert_eq!(cookie.name(), name);
        let server = Server::around(cookie, clock, false, |layer| layer);
        let response = server.open("/?token=alice-1", TYPED, &Jar::default()).await;
        let lines: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
        let [line] = lines[..] else {
            panic!("{lines:?}")
        };
        assert!(line.is_sensitive());
        let line = line.to_str().unwrap();
        assert!(line.starts_with(&format!("{name}=1.")), "{line}");
        assert!(line.ends_with(&format!("; {attributes}")), "{line}");

        let mut jar = Jar::default();
        jar.take(response.headers());
        let response = server.open("/", TYPED, &jar).await;
        assert_eq!(response.body(), "alice at /", "{name}");
    }
}

#[tokio::test]
async fn cookie_ends_with_the_credential_or_before() {
    let server = Server::new();
    #[rustfmt::skip]
    let table = [
        // token                    Max-Age   valid after        invalid after
        ("alice-1",                 28_800,   28_799,            28_800),
        ("alice-ends%20in%2090%20s",    90,       89,                90),
    ];
    for (token, max_age, valid, invalid) in table {
        let server = server.clone();
        let mut jar = Jar::default();
        let response = server.open(&format!("/?token={token}"), TYPED, &jar).await;
        let cookies = set_cookies(response.headers());
        assert_eq!(
            cookies[0].max_age(),
            Some(cookie::time::Duration::seconds(max_age)),
            "{token}"
        );
        drop(cookies);
        jar.take(response.headers());

        // A browser that ignores `Max-Age`, and a token that is still valid.
        let start = server.clock.now();
        server.clock.advance(valid);
        assert_eq!(
            outcome(&server.open("/", TYPED, &jar).await),
            "pass 200",
            "{token}"
        );
        server.clock.advance(invalid - valid);
        assert_eq!(
            outcome(&server.open("/", TYPED, &jar).await),
            "pass 403 clear",
            "{token}"
        );
        *server.clock.0.lock().unwrap() = start;
    }
}

#[tokio::test]
async fn changed_cookie_does_not_open() {
    let server = Server::new();
    let valid = server.jar("alice-1").0[0].1.clone();
    let bob = server.jar("bob-1").0[0].1.clone();
    let name = "__Host-session";
    let elsewhere =
        SealedCookie::new("other", CookieKeys::new(&key(1))).clock(server.clock.clone());
    let other_name = Server::around(elsewhere, server.clock.clone(), false, |layer| layer);
    let other_name = other_name.jar("alice-1").0[0].1.clone();
    let unknown =
        SealedCookie::new("session", CookieKeys::new(&key(9))).clock(server.clock.clone());
    let unknown = Server::around(unknown, server.clock.clone(), false, |layer| layer);
    let unknown = unknown.jar("alice-1").0[0].1.clone();
    let question = server
        .cookie
        .seal_for(&["confirmation"], "alice-1", Duration::from_secs(60));
    let early = TestClock::default();
    early.advance(61);
    let early = SealedCookie::new("session", CookieKeys::new(&key(1))).clock(early);
    let early = Server::around(early, server.clock.clone(), false, |layer| layer)
        .jar("alice-1")
        .0[0]
        .1
        .clone();
    let last = &valid[..valid.len() - 1];
    let many: String = (0..64).map(|n| format!("c{n}=v; ")).collect();

    #[rustfmt::skip]
    let table = [
        (format!("{name}={valid}"),                       "pass 200"),
        (format!("a=1; {name}={valid}; b=2"),             "pass 200"),
        (format!("{many}{name}={valid}"),                 "pass 200"),
        (format!("{name}={valid}; {name}-1=left-over"),   "pass 200"),
        (format!("{name}={valid}; {name}-3=not-ours"),    "pass 200"),
        (format!("{name}={valid}; %5F%5FHost-session=x"), "pass 200"),
        (format!("{name}={valid}; __host-session=x"),     "pass 200"),
        (format!("{name}="),                             "pass 403"),
        (format!("__host-session={valid}"),               "pass 403"),
        (format!("%5F%5FHost-session={valid}"),           "pass 403"),
        (format!("__%48ost-session={valid}"),             "pass 403"),
        (format!("=__Host-session={valid}"),              "pass 403"),
        (format!("session={valid}"),                      "pass 403"),
        (format!("{name}=\"{valid}\""),                   "pass 403 clear"),
        (format!("{name}={last}"),                       "pass 403 clear"),
        (format!("{name}={valid}A"),                      "pass 403 clear"),
        (format!("{name}={valid}%41"),                    "pass 403 clear"),
        (format!("{name}={valid}="),                      "pass 403 clear"),
        (format!("{name}={valid},"),                      "pass 403 clear"),
        (format!("{name}={}", &valid[2..]),               "pass 403 clear"),
        (format!("{name}=0.{}", &valid[2..]),             "pass 403 clear"),
        (format!("{name}=2.{}", &valid[2..]),             "pass 403 clear"),
        (format!("{name}=4.{}", &valid[2..]),             "pass 403 clear"),
        (format!("{name}=9.{}", &valid[2..]),             "pass 403 clear"),
        (format!("{name}=1."),                           "pass 403 clear"),
        (format!("{name}=1.{}", "A".repeat(4095)),       "pass 403 clear"),
        (format!("{name}=alice-1"),                      "pass 403 clear"),
        (format!("{name}={other_name}"),                 "pass 403 clear"),
        (format!("{name}={unknown}"),                    "pass 403 clear"),
        (format!("{name}=1.{question}"),                 "pass 403 clear"),
        (format!("{name}={early}"),                      "pass 403 clear"),
        // Another domain set one of the two. Which one would remain is unknown.
        (format!("{name}={valid}; {name}={valid}"),        "pass 400"),
        (format!("{name}={valid}; {name}={bob}"),         "pass 400"),
        (format!("{name}={valid}; a={}", "x".repeat(17_000)), "pass 431"),
    ];
    for (line, expected) in table {
        let mut sent = request("GET", "/", TYPED, &Jar::default());
        sent.headers_mut().insert(COOKIE, line.parse().unwrap());
        assert_eq!(outcome(&server.send(sent).await), expected, "{line}");
    }
}

#[tokio::test]
async fn long_token_is_split_into_cookies_that_open_together() {
    let server = Server::new();
    let token = format!("alice-{}", "x".repeat(8 * 1024 - 6));
    let response = server
        .open(&format!("/?token={token}"), TYPED, &Jar::default())
        .await;
    assert_eq!(outcome(&response), "303 set");
    let names: Vec<_> = set_cookies(response.headers())
        .iter()
        .map(|cookie| cookie.name().to_owned())
        .collect();
    assert_eq!(
        names,
        ["__Host-session", "__Host-session-1", "__Host-session-2"]
    );
    for line in response.headers().get_all(SET_COOKIE) {
        assert!(line.len() <= 4096, "{}", line.len());
    }
    let mut jar = Jar::default();
    jar.take(response.headers());
    let [a, b, c] = [0, 1, 2].map(|part: usize| jar.0[part].1.clone());
    let foreign = server.jar(&format!("alice-{}", "y".repeat(8 * 1024 - 6)));
    let foreign = &foreign.0[1].1;
    let short = &b[1..];

    #[rustfmt::skip]
    let table = [
        ([Some(&*a), Some(&b),    Some(&c)], "pass 200"),
        ([Some(&*a), None,        Some(&c)], "pass 403 clear"),
        ([Some(&*a), Some(&b),    None],     "pass 403 clear"),
        ([Some(&*a), None,        None],     "pass 403 clear"),
        ([Some(&*a), Some(&c),    Some(&b)], "pass 403 clear"),
        ([Some(&*a), Some(&b),    Some(&b)], "pass 403 clear"),
        ([Some(&*a), Some(foreign), Some(&c)], "pass 403 clear"),
        ([Some(&*a), Some(short), Some(&c)], "pass 403 clear"),
        ([Some(&*a), Some(""),    Some(&c)], "pass 403 clear"),
        ([Some(&*b), Some(&a),    Some(&c)], "pass 403 clear"),
        // Without the first part there is no cookie.
        ([None,      Some(&b),    Some(&c)], "pass 403"),
    ];
    for (parts, expected) in table {
        let named = names.iter().cloned().zip(parts);
        let jar = Jar(named
            .filter_map(|(name, part)| Some((name, part?.to_owned())))
            .collect());
        let response = server.open("/", TYPED, &jar).await;
        assert_eq!(
            outcome(&response),
            expected,
            "{:?}",
            parts.map(|part| part.map(str::len))
        );
        if expected.ends_with("clear") {
            let mut cleared = jar.clone();
            cleared.take(response.headers());
            assert!(cleared.0.is_empty(), "{cleared:?}");
        }
    }

    // A single cookie that is longer than the limit of browsers.
    let whole = format!("1.{}{b}{c}", &a[2..]);
    let whole = Jar(vec![(names[0].clone(), whole)]);
    let response = server.open("/", TYPED, &whole).await;
    assert_eq!(outcome(&response), "pass 403 clear");

    let reordered = Jar(jar.0.iter().rev().cloned().collect());
    assert_eq!(
        outcome(&server.open("/", TYPED, &reordered).await),
        "pass 200"
    );
    let mut twice = jar.clone();
    twice.0.push(jar.0[1].clone());
    assert_eq!(outcome(&server.open("/", TYPED, &twice).await), "pass 400");

    // A shorter token removes the other parts of the longer one.
    let response = server.open("/?token=alice-1", TYPED, &jar).await;
    jar.take(response.headers());
    assert_eq!(jar.0.len(), 1, "{jar:?}");
    assert_eq!(outcome(&server.open("/", TYPED, &jar).await), "pass 200");
}

#[tokio::test]
async fn page_removes_a_refused_cookie() {
    for slow in [false, true] {
        let server = Server::with(slow, |layer| layer);
        let jar = server.jar("alice-1");
        assert_eq!(outcome(&server.open("/", TYPED, &jar).await), "pass 200");
        server.verifier.revoke("alice-1");

        #[rustfmt::skip]
        let table = [
            ("GET",  TYPED.to_owned(),                             "pass 403 clear"),
            ("GET",  "host: localhost:8888".to_owned(),            "pass 403"),
            ("HEAD", TYPED.to_owned(),                             "pass 403"),
            ("POST", format!("{TYPED} | origin: http://localhost:8888"), "pass 403"),
            ("GET",  format!("{UPGRADE} | origin: http://localhost:8888"), "pass 403"),
            ("GET",  TYPED.replace("document", "iframe"),          "pass 403"),
        ];
        for (method, lines, expected) in table {
            let response = server.send(request(method, "/", &lines, &jar)).await;
            assert_eq!(outcome(&response), expected, "{method} {lines}");
        }
        // An unavailable verifier, and one that forbids this request, do not make a cookie invalid.
        for (token, expected) in [
            ("down", "pass 503"),
            ("forbidden", "pass 403"),
            ("boom", "pass 500"),
        ] {
            let response = server.open("/", TYPED, &server.jar(token)).await;
            assert_eq!(outcome(&response), expected, "{token}");
        }
    }
}

#[tokio::test]
async fn removal_removes_all_parts() {
    let server = Server::new();
    let mut jar = server.jar(&format!("alice-{}", "x".repeat(8_000)));
    assert_eq!(jar.0.len(), 3);
    let mut headers = HeaderMap::new();
    headers.extend(server.cookie.removal());
    for line in headers.get_all(SET_COOKIE) {
        let line = line.to_str().unwrap();
        assert!(
            line.ends_with("=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"),
            "{line}"
        );
    }
    jar.take(&headers);
    assert!(jar.0.is_empty(), "{jar:?}");
}

#[tokio::test]
async fn cookie_set_by_the_application_is_kept() {
    let server = Server::new();
    let mut broken = server.jar("alice-1");
    broken.0[0].1.push('A');
    let lines =
        format!("{TYPED} | authorization: token alice-1 | x-set-cookie: __Host-session=mine");
    let response = server.open("/", &lines, &broken).await;
    let set: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
    assert_eq!(set, ["__Host-session=mine"]);
}

#[test]
#[should_panic(expected = "1 to 64 letters")]
fn illegal_name_panics() {
    let _ = SealedCookie::new("a;b", CookieKeys::new(&key(1)));
}

#[test]
#[should_panic(expected = "the path of a cookie starts with `/`")]
fn illegal_path_panics() {
    let _ = SealedCookie::new("a", CookieKeys::new(&key(1))).path("/; Domain=example");
}
