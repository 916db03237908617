//! `AuthLayer::hosts`: how an allowed host matches the host of a request. Each text either parses or
//! is an error when the layer is built.

use portcullis::AuthLayer;
use portcullis::admission::AllowedHost;
use portcullis::testing::Accepting;

use crate::support::{HttpVersion, Matrix, Table};

const TOKENS: &[(&str, &str)] = &[("alice", "s3cret")];
const OPEN: &str = "open alice by authorization";
const UNKNOWN: &str = "421 unknown-host";

/// The allowed host, the host of the request, and the outcome.
const ROWS: &[(&str, &str, &str)] = &[
    // Without a port every port is allowed.
    ("localhost", "localhost", OPEN),
    ("localhost", "localhost:3000", OPEN),
    ("localhost", "LOCALHOST", OPEN),
    ("LOCALHOST", "localhost", OPEN),
    ("localhost", "127.0.0.1", UNKNOWN),
    ("localhost", "localhost.", UNKNOWN),
    ("localhost", "localhost.evil.com", UNKNOWN),
    // With a port only that port is allowed.
    ("localhost:3000", "localhost:3000", OPEN),
    ("localhost:3000", "localhost:3001", UNKNOWN),
    ("localhost:3000", "localhost", UNKNOWN),
    ("localhost:3000", "evil.com:3000", UNKNOWN),
    // Clients omit the default port.
    ("localhost:80", "localhost", OPEN),
    ("app.example.com:443", "app.example.com", OPEN),
    ("app.example.com:443", "app.example.com:443", OPEN),
    ("app.example.com:443", "app.example.com:8443", UNKNOWN),
    ("127.0.0.1:8080", "127.0.0.1:8080", OPEN),
    ("127.0.0.1:8080", "127.0.0.1", UNKNOWN),
    // IPv6 addresses have several notations.
    ("::1", "[::1]", OPEN),
    ("::1", "[::1]:8080", OPEN),
    ("[::1]", "[::1]", OPEN),
    ("[::1]", "[::1]:8080", OPEN),
    ("[::1]:8080", "[::1]:8080", OPEN),
    ("[::1]:8080", "[::1]", UNKNOWN),
    ("[0:0::1]", "[::1]", OPEN),
    ("::1", "[::2]", UNKNOWN),
    ("::1", "localhost", UNKNOWN),
];

#[tokio::test]
async fn allowed_host_matches_by_name_and_port() {
    let mut table = Table::new();
    for (allowed, host, expected) in ROWS {
        let matrix = Matrix::new(TOKENS, |auth| auth.hosts([*allowed]).unwrap());
        let outcome = matrix
            .authority(host)
            .send(|client| client.websocket("/ws").bearer("s3cret"))
            .await;
        table.row((allowed, host), expected, &outcome);
        let calls = usize::from(*expected == OPEN);
        table.row(
            (allowed, host, "verifier calls"),
            calls,
            outcome.verifier_calls,
        );
    }
    table.finish();
}

/// The error names the text and shows valid hosts.
#[test]
fn text_that_is_not_a_host_is_an_error() {
    let rows = [
        "",
        " localhost",
        "http://localhost",
        "localhost/",
        "localhost/path",
        "localhost:",
        "localhost:+80",
        "localhost:65536",
        "localhost:http",
        "user@localhost",
        "*.example.com",
        "localhost,127.0.0.1",
        "[::1",
        "::1]",
        "[::1]8080",
        "[localhost]",
        "::g",
        "bücher.example",
    ];
    for text in rows {
        let auth = AuthLayer::new(Accepting::token("t0k", portcullis::Identity::new("alice")));
        let error = auth.hosts(["localhost", text]).map(|_| ()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(&format!("`{text}`")), "{error}");
        assert!(error.contains("`localhost`"), "{error}");
    }
}

/// `hosts` also takes parsed hosts, for example from a configuration file.
#[tokio::test]
async fn parsed_hosts_are_accepted() {
    let hosts: Vec<AllowedHost> = ["localhost:3000", "::1"]
        .map(|text| text.parse().unwrap())
        .into();
    for (host, expected) in [
        ("localhost:3000", OPEN),
        ("[::1]:8080", OPEN),
        ("localhost:3001", UNKNOWN),
    ] {
        let matrix = Matrix::new(TOKENS, |auth| auth.hosts(hosts.clone()).unwrap());
        let outcome = matrix
            .authority(host)
            .send(|client| client.get("/page").bearer("s3cret"))
            .await;
        let expected = expected.replace("open", "200");
        assert_eq!(outcome.to_string(), expected, "{host}");
    }
}

/// An HTTP/1.1 request can name a host that is not one.
#[tokio::test]
async fn request_with_an_invalid_host_is_refused() {
    let matrix = Matrix::new(TOKENS, |auth| auth.hosts(["localhost"]).unwrap());
    let matrix = matrix.only(HttpVersion::Http1);
    let mut table = Table::new();
    for host in ["", "localhost:", "localhost:+80", "[::1", "localhost/"] {
        let outcome = matrix
            .send(|client| {
                let request = client.get("/page").bearer("s3cret");
                request.without("host").header("host", host)
            })
            .await;
        table.row(host, UNKNOWN, outcome);
    }
    table.finish();
}
