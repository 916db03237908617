//! The redirect stays on the same origin for every address.

use proptest::prelude::*;
use url::Url;

use super::*;

/// Used as the path, and as the value of a parameter before and after the token.
const PAYLOADS: &[&str] = &[
    // another host where a path was meant
    "//evil.example",
    "//evil.example/",
    "//evil.example/%2e%2e",
    "///evil.example",
    "////evil.example/a",
    "//evil.example:80",
    "//user@evil.example",
    "//localhost@evil.example/",
    "//localhost:8888@evil.example/",
    "//[::1]/",
    "//0x7f000001/",
    "//2130706433/",
    "//evil%2eexample",
    "//evil%E3%80%82example",
    "//evil.example%23@localhost/",
    // browsers read a backslash as a slash
    r"/\evil.example",
    r"/\\evil.example",
    r"/\/evil.example",
    r"/\/\evil.example",
    r"//\evil.example",
    r"\/evil.example",
    r"\\evil.example",
    r"/\evil.example/..",
    r"/\user@evil.example",
    // browsers drop tabs and line ends, which are encoded here and must stay so
    "/%09/evil.example",
    "/%09//evil.example",
    "//%09/evil.example",
    "/%0a/evil.example",
    "/%0d%0a/evil.example",
    "/%0d%0aSet-Cookie:%20a=b",
    "/%0d%0aLocation:%20//evil.example",
    "/%0D%0A%0D%0A<script>",
    "/%00//evil.example",
    "/%20//evil.example",
    "/%c2%a0//evil.example",
    "/%e2%80%a8//evil.example",
    // dot segments that lead to another host once they are removed
    "/.//evil.example",
    "/..//evil.example",
    "/./..//evil.example",
    "/a/..//evil.example",
    "/a/../..//evil.example",
    r"/.\evil.example",
    r"/..\..\\evil.example",
    "/%2e%2e//evil.example",
    "/%2e/%2e//evil.example",
    "/;//evil.example",
    "/;@evil.example",
    "/.;//evil.example",
    "/..;//evil.example",
    "/%2f/evil.example",
    "/%2f%2fevil.example",
    "/%5cevil.example",
    "/%5c%5cevil.example",
    "//%5cevil.example",
    "/%252f%252fevil.example",
    // schemes, with and without a host
    "/http://evil.example",
    "/http:evil.example",
    "/https:///evil.example",
    "//http://evil.example",
    "/javascript:alert(1)",
    "//javascript:alert(1)",
    "/data:text/html,x",
    "/:evil.example",
    "/@evil.example",
    "http://evil.example",
    "http://evil.example/",
    "http://evil.example//evil.example",
    "https://localhost:8888@evil.example/",
    "http://localhost:8888//evil.example",
    // characters that parsers read in different ways
    "/〱evil.example",
    "//〱evil.example",
    "//evil。example",
    "/\u{ff0f}\u{ff0f}evil.example",
    "/\u{2215}/evil.example",
    "/\u{85}/evil.example",
    "//\u{200b}evil.example",
    "/*//evil.example",
    "/$//evil.example",
    "/|//evil.example",
    "/{//evil.example",
    "/~//evil.example",
];

#[tokio::test]
async fn redirect_stays_on_the_same_origin() {
    // A layer without a list of hosts.
    let Server {
        cookie,
        clock,
        verifier,
        ..
    } = Server::new();
    let layer = PersistTokenLayer::new(verifier, cookie.clone());
    let server = Server::around(cookie, clock, false, |_| layer);
    let mut answered = 0;
    for payload in PAYLOADS {
        let targets = [
            format!("{payload}?token=alice-1"),
            format!("{payload}?a={payload}&token=alice-1"),
            format!("/?token=alice-1&{payload}"),
            format!("/?next={payload}&token=alice-1&url={payload}"),
            format!("/a{payload}?token=alice-1"),
        ];
        for target in targets {
            // The server's parser refuses these before the layer sees them.
            if target.parse::<Uri>().is_err() {
                continue;
            }
            let response = server.open(&target, TYPED, &Jar::default()).await;
            assert_eq!(outcome(&response), "303 set", "{target}");
            assert_same_origin(&target, &response.headers()["location"]);
            answered += 1;
        }
    }
    assert!(
        answered > 4 * PAYLOADS.len(),
        "only {answered} were answered"
    );
}

/// Resolves the location as a browser does, relative to several pages.
fn assert_same_origin(target: &str, location: &HeaderValue) {
    let bytes = location.as_bytes();
    assert!(
        !bytes.iter().any(u8::is_ascii_control),
        "{target}: {location:?}"
    );
    assert_eq!(bytes[0], b'/', "{target}: {location:?}");
    assert!(
        !matches!(bytes.get(1), Some(b'/' | b'\\')),
        "{target}: {location:?}"
    );
    let location = std::str::from_utf8(bytes).unwrap();
    assert!(!location.contains("alice-1"), "{target}: {location}");
    for base in [
        "http://localhost:8888/",
        "http://localhost:8888/a/b?token=alice-1",
        "http://localhost:8888//evil.example/",
        "https://localhost/a",
    ] {
        let base = Url::parse(base).unwrap();
        let landed = base.join(location).unwrap();
        assert_eq!(
            landed.origin(),
            base.origin(),
            "{target}: {location} at {base}"
        );
        assert_eq!(
            (landed.username(), landed.password()),
            ("", None),
            "{target}"
        );
    }
}

#[tokio::test]
async fn rest_of_the_address_stays_byte_for_byte() {
    let server = Server::new();
    #[rustfmt::skip]
    let table = [
        ("/?token=alice-1",                             "/"),
        ("/lab?token=alice-1",                          "/lab"),
        ("/lab/?token=alice-1",                         "/lab/"),
        ("/lab/tree/a%20b.ipynb?token=alice-1",         "/lab/tree/a%20b.ipynb"),
        ("/lab?reset&token=alice-1",                    "/lab?reset"),
        ("/lab?token=alice-1&reset",                    "/lab?reset"),
        ("/lab?a=%2F%2f+%20&token=alice-1&a=&&b==",     "/lab?a=%2F%2f+%20&a=&&b=="),
        ("/lab?a=token=x&token=alice-1",                "/lab?a=token=x"),
        ("/lab?Token=x&token=alice-1&token[]=y",        "/lab?Token=x&token[]=y"),
        ("/a//b/../c;d=e?token=alice-1",                "/a//b/../c;d=e"),
        ("/%7Euser/%2e?token=alice-1",                  "/%7Euser/%2e"),
        ("/ü?token=alice-1&ö=ä",                        "/ü?ö=ä"),
        ("http://localhost:8888/lab?token=alice-1",     "/lab"),
        ("http://localhost:8888?token=alice-1",         "/"),
        ("//lab?token=alice-1",                         "/lab"),
    ];
    for (target, expected) in table {
        let response = server.open(target, TYPED, &Jar::default()).await;
        let location = response.headers()["location"].as_bytes();
        assert_eq!(std::str::from_utf8(location).unwrap(), expected, "{target}");
    }
}

proptest! {
    #[test]
    fn random_addresses_stay_on_the_same_origin(path in r"[/\\.%@:;?&=a2fF0-9~_-]{0,24}", rest in r"[/\\.%@:;?&=a2f0]{0,12}") {
        let target = format!("/{path}?{rest}&token=alice-1");
        if let Ok(uri) = target.parse::<Uri>() {
            let location = crate::links::redirect::location(&crate::carrier::remove_parameter(&uri, "token").unwrap_or(uri));
            if !location.contains("alice-1") {
                assert_same_origin(&target, &HeaderValue::try_from(location).unwrap());
            }
        }
    }
}
