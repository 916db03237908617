//! Handshakes in the notation of the ecosystems' own references.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::StatusCode;
use portcullis::testing::{TestClient, TestRequest};
use portcullis::{AuthLayer, GuardedUpgrade, Profile, StaticTokens};

use super::HttpVersion;

/// One handshake with `/ws/known`, and its expected outcome.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// A query with its `?`, or the name of another resource.
    pub(crate) query: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) expected: Expected,
}

/// The outcome of a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expected {
    /// The socket opens with this subprotocol.
    Opens(&'static str),
    /// The socket opens without a subprotocol.
    OpensBare,
    /// The handshake is refused with this status.
    Refused(u16),
}

pub(crate) use Expected::{Opens, OpensBare, Refused};

pub(crate) const fn row(
    name: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    expected: Expected,
) -> Row {
    Row {
        name,
        query,
        headers,
        expected,
    }
}

/// The abbreviations in the rows and their full texts.
pub(crate) struct Abbreviations(pub(crate) &'static [(&'static str, &'static str)]);

impl Abbreviations {
    fn expand(&self, text: &str) -> String {
        let replace = |text: String, (short, long): &(&str, &str)| text.replace(short, long);
        self.0.iter().fold(text.to_owned(), replace)
    }
}

/// A server with this profile. Its handler supports `protocols` and knows the resource `known`.
pub(crate) fn app(
    profile: Profile,
    tokens: &[(&str, &str)],
    protocols: &'static [&'static str],
) -> Router {
    let socket = async move |Path(name): Path<String>, upgrade: GuardedUpgrade| -> Response {
        if name != "known" {
            return StatusCode::NOT_FOUND.into_response();
        }
        upgrade.protocols(protocols).on_upgrade(async |_| {})
    };
    let tokens = StaticTokens::new(tokens.iter().copied()).unwrap();
    let auth = AuthLayer::new(tokens)
        .profile(profile)
        .hosts(["localhost", "127.0.0.1", "[::1]"])
        .unwrap();
    Router::new()
        .route("/ws/{name}", any(socket))
        .route_layer(auth)
}

/// Sends every row over HTTP/1.1 and HTTP/2, and reports all differences at once.
pub(crate) async fn check_rows(app: Router, abbreviations: &Abbreviations, rows: &[Row]) {
    let mut differing = Vec::new();
    for row in rows {
        for version in HttpVersion::ALL {
            let client = version.client(app.clone());
            let handshake = handshake(&client, abbreviations, row);
            let (outcome, actual) = match handshake.connect().await {
                Ok(socket) => {
                    let expected = row.expected.protocol(abbreviations);
                    let outcome = if socket.protocol() == expected.as_deref() {
                        row.expected
                    } else {
                        OpensBare
                    };
                    (outcome, format!("opens with {:?}", socket.protocol()))
                }
                Err(refused) => {
                    // A refusal contains no secret and sets no cookie.
                    let headers = format!("{:?}", refused.headers());
                    let secrets = abbreviations.0.iter().filter(|(short, _)| is_secret(short));
                    for (short, long) in secrets {
                        let name = row.name;
                        assert!(!headers.contains(long), "{name}: {short} in {headers}");
                        let body = refused.text();
                        assert!(!body.contains(long), "{name}: {short} in the body");
                    }
                    assert_eq!(refused.header("set-cookie"), None, "{}", row.name);
                    let status = refused.status().as_u16();
                    (Refused(status), format!("{status} {}", refused.text()))
                }
            };
            if outcome != row.expected || (outcome == OpensBare && !actual.ends_with("None")) {
                differing.push(format!(
                    "{} over {version:?}: {actual}, not {:?}",
                    row.name, row.expected
                ));
            }
        }
    }
    assert!(
        differing.is_empty(),
        "{} rows differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

impl Expected {
    fn protocol(self, abbreviations: &Abbreviations) -> Option<String> {
        match self {
            Opens(protocol) => Some(abbreviations.expand(protocol)),
            OpensBare | Refused(_) => None,
        }
    }
}

fn handshake(client: &TestClient, abbreviations: &Abbreviations, row: &Row) -> TestRequest {
    let host = row.headers.iter().find(|(name, _)| *name == "host");
    let client = match host {
        Some((_, host)) => client.clone().authority(host),
        None => client.clone(),
    };
    let (path, query) = row.query.split_once('?').unwrap_or((row.query, ""));
    let path = if path.is_empty() { "known" } else { path };
    let question_mark = if query.is_empty() { "" } else { "?" };
    let query = abbreviations.expand(query);
    let target = format!("/ws/{path}{question_mark}{query}");
    let lines = row.headers.iter().filter(|(name, _)| *name != "host");
    lines.fold(client.websocket(&target), |handshake, (name, value)| {
        handshake.header(*name, abbreviations.expand(value).into_bytes())
    })
}

/// Whether an abbreviation stands for a token. The others stand for names of protocols.
fn is_secret(short: &str) -> bool {
    matches!(short, "{T}" | "{T2}" | "{W}")
}
