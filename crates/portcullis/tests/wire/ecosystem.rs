//! Rows of handshakes that are written as the references write them.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::StatusCode;
use portcullis::testing::{TestClient, TestRequest};
use portcullis::{AuthLayer, GuardedUpgrade, Profile, StaticTokens};

/// One handshake: what is behind `/ws/known`, header lines, and what comes of it.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) query: &'static str,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) outcome: Outcome,
}

/// What comes of a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It opens, and this subprotocol comes back.
    Opens(&'static str),
    /// It opens, and no subprotocol comes back.
    OpensBare,
    /// It is refused with this status.
    Refused(u16),
}

pub(crate) use Outcome::{Opens, OpensBare, Refused};

pub(crate) const fn row(
    id: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    outcome: Outcome,
) -> Row {
    Row {
        id,
        query,
        headers,
        outcome,
    }
}

/// The shorthand of the rows, written out.
pub(crate) struct Shorthand(pub(crate) &'static [(&'static str, &'static str)]);

impl Shorthand {
    fn expand(&self, text: &str) -> String {
        let replace = |text: String, (short, long): &(&str, &str)| text.replace(short, long);
        self.0.iter().fold(text.to_owned(), replace)
    }
}

/// A server of `profile`, whose handler speaks `protocols` and knows no address but `/ws/known`.
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
        .hosts(["localhost", "127.0.0.1", "[::1]"]);
    Router::new()
        .route("/ws/{name}", any(socket))
        .route_layer(auth)
}

/// Runs every row over HTTP/1.1 and over HTTP/2, and says all that differ at once.
pub(crate) async fn hold(app: Router, shorthand: &Shorthand, rows: &[Row]) {
    let clients = [TestClient::new(app.clone()), TestClient::new(app).http2()];
    let mut wrong = Vec::new();
    for row in rows {
        for client in &clients {
            let handshake = handshake(client, shorthand, row);
            let (outcome, seen) = match handshake.connect().await {
                Ok(socket) => {
                    let outcome = if socket.protocol() == row.outcome.protocol(shorthand).as_deref()
                    {
                        row.outcome
                    } else {
                        OpensBare
                    };
                    (outcome, format!("opens with {:?}", socket.protocol()))
                }
                Err(refused) => {
                    // No secret comes back, and no cookie is set.
                    let headers = format!("{:?}", refused.headers());
                    for (short, long) in shorthand.0.iter().filter(|(short, _)| is_secret(short)) {
                        assert!(!headers.contains(long), "{}: {short} in {headers}", row.id);
                        assert!(
                            !refused.text().contains(long),
                            "{}: {short} in the body",
                            row.id
                        );
                    }
                    assert_eq!(refused.header("set-cookie"), None, "{}", row.id);
                    let status = refused.status().as_u16();
                    (Refused(status), format!("{status} {}", refused.text()))
                }
            };
            if outcome != row.outcome || (outcome == OpensBare && !seen.ends_with("None")) {
                let version = client.version();
                wrong.push(format!(
                    "{} over {version:?}: {seen}, not {:?}",
                    row.id, row.outcome
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

impl Outcome {
    fn protocol(self, shorthand: &Shorthand) -> Option<String> {
        match self {
            Opens(protocol) => Some(shorthand.expand(protocol)),
            OpensBare | Refused(_) => None,
        }
    }
}

fn handshake(client: &TestClient, shorthand: &Shorthand, row: &Row) -> TestRequest {
    let host = row.headers.iter().find(|(name, _)| *name == "host");
    let client = match host {
        Some((_, host)) => client.clone().authority(host),
        None => client.clone(),
    };
    let (path, query) = row.query.split_once('?').unwrap_or((row.query, ""));
    let path = if path.is_empty() { "known" } else { path };
    let question = if query.is_empty() { "" } else { "?" };
    let target = format!("/ws/{path}{question}{}", shorthand.expand(query));
    let lines = row.headers.iter().filter(|(name, _)| *name != "host");
    lines.fold(client.websocket(&target), |handshake, (name, value)| {
        handshake.header(*name, shorthand.expand(value).into_bytes())
    })
}

/// Tokens are written `{T}`, `{W}` and so on; the names of protocols are no secrets.
fn is_secret(short: &str) -> bool {
    matches!(short, "{T}" | "{T2}" | "{W}")
}
