//! No secret in anything that is emitted: every carrier bears a canary, good ones, unknown ones and
//! broken ones, to handlers that print all they see, that panic with it and that fail with it, under
//! a subscriber that writes down everything.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis::testing::{TestClient, TestRequest};
use portcullis::{AuthLayer, GuardedUpgrade, Identity, StaticTokens, redacting_span};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::trace::{DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, TraceLayer};
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::site::{Over, every_carrier};

/// What is behind the path of the address.
type Query = fn(&str) -> String;

/// How a canary gets into the headers.
type Put = fn(TestRequest, &str) -> TestRequest;

/// Carriers, with what they put into the query and into the headers.
const CARRIERS: &[(&str, Query, Put)] = &[
    ("bearer", no_query, |r, token| r.bearer(token)),
    ("basic", no_query, |r, token| r.basic("alice", token)),
    ("subprotocol", no_query, |r, token| {
        r.protocols(["chat", &entry(token)])
    }),
    (
        "query",
        |token| format!("?a=1&token={}&b", percent(token)),
        |r, _| r,
    ),
    ("raw-query", |token| format!("?token={token}"), |r, _| r),
    ("cookie", no_query, |r, token| {
        r.header(COOKIE, format!("a=1; s={token}"))
    }),
    (
        "all",
        |token| format!("?token={token}"),
        |r, token| {
            let cookie = format!("s={token}");
            r.bearer(token)
                .protocols(["chat", &entry(token)])
                .header(COOKIE, cookie)
        },
    ),
    // Broken ones.
    ("unknown-scheme", no_query, |r, token| {
        r.header(AUTHORIZATION, format!("Digest {token}"))
    }),
    ("two-bearers", no_query, |r, token| {
        r.bearer(token).bearer(token)
    }),
    ("two-words", no_query, |r, token| {
        r.bearer(&format!("{token} {token}"))
    }),
    ("no-colon", no_query, |r, token| {
        r.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(token)))
    }),
    ("plain-entry", no_query, |r, token| {
        r.header(SEC_WEBSOCKET_PROTOCOL, format!("chat, v1.bearer.{token}"))
    }),
    ("two-entries", no_query, |r, token| {
        r.protocols([&*entry(token), "chat", &entry(token)])
    }),
    ("entry-alone", no_query, |r, token| {
        r.protocols([&*entry(token)])
    }),
    (
        "two-pairs",
        |token| format!("?token={token}&token={token}"),
        |r, _| r,
    ),
    ("bad-escape", |token| format!("?token={token}%zz"), |r, _| r),
    ("two-cookies", no_query, |r, token| {
        r.header(COOKIE, format!("s={token}; s={token}"))
    }),
    ("quoted-cookie", no_query, |r, token| {
        r.header(COOKIE, format!("s=\"{token}\""))
    }),
    (
        "beside-another",
        |_| "?token=another".to_owned(),
        |r, token| r.bearer(token),
    ),
    ("foreign-origin", no_query, |r, token| {
        let request = r.without("origin").origin("http://evil.com");
        request.header(COOKIE, format!("s={token}"))
    }),
];

const HANDLERS: [&str; 4] = ["/tell", "/panic", "/fail", "/ws"];

#[tokio::test]
async fn no_canary_is_seen() {
    let canaries: Vec<_> = CARRIERS.iter().map(|(name, ..)| canary(name)).collect();
    let known = canaries.iter().enumerate();
    let tokens = known.map(|(i, canary)| (if i == 1 { "alice" } else { "bob" }, &**canary));
    let tokens = StaticTokens::new(tokens).unwrap();
    let auth = AuthLayer::new(tokens.clone()).profile(every_carrier());
    // A verifier that has to be waited for moves the request into a future.
    let later = move |credential: portcullis::Credential| {
        let tokens = tokens.clone();
        async move {
            tokio::task::yield_now().await;
            portcullis::Verify::verify(&tokens, &credential).await
        }
    };
    let later = AuthLayer::new(later).profile(every_carrier());

    let emitted = Emitted::default();
    let _guard = emitted.capture();
    let mut admitted = 0;
    for app in [
        guarded(handlers().layer(auth)),
        guarded(handlers().layer(later)),
    ] {
        admitted += run(&app, &emitted).await;
    }
    // The known ones of six carriers reached four handlers each, and the subprotocol's its one; by
    // two versions of HTTP and two verifiers.
    assert_eq!(admitted, (6 * 4 + 1) * 2 * 2);
    // What should be seen is: of the handlers, of the layers, of the events of a refusal.
    let text = emitted.text();
    for seen in [
        "/tell",
        "bob",
        "?[",
        "profile=\"every\"",
        "malformed-credential",
        "chat",
    ] {
        assert!(text.contains(seen), "{seen} should have been emitted");
    }
    assert_eq!(found(&text), BTreeSet::new());
}

/// Without the layer every canary is found, so the search finds what there is.
#[tokio::test]
async fn the_search_finds_every_canary() {
    let emitted = Emitted::default();
    let _guard = emitted.capture();
    run(&guarded(handlers()), &emitted).await;
    let text = emitted.text();
    let found = found(&text);
    for (name, ..) in CARRIERS {
        let canary = canary(name);
        // The last symbols of base64 depend on what follows.
        let encoded = [STANDARD.encode(&canary), URL_SAFE_NO_PAD.encode(&canary)];
        let base64 = encoded.map(|encoded| encoded[..encoded.len() - 4].to_owned());
        let forms = [&canary, &percent(&canary), &base64[0], &base64[1]];
        let is_found = |form: &&String| found.iter().any(|hit| hit.starts_with(form.as_str()));
        assert!(forms.iter().any(is_found), "{canary} in {found:#?}");
    }
}

/// Sends every canary and one that nobody knows, by every carrier, to every handler. Tells how many
/// requests reached one.
async fn run(app: &Router, emitted: &Emitted) -> usize {
    let mut admitted = 0;
    for over in Over::BOTH {
        let client = over.client(app.clone());
        for (name, query, put) in CARRIERS {
            for token in [canary(name), canary(&format!("unknown-{name}"))] {
                for handler in HANDLERS {
                    let address = format!("{handler}{}", query(&token));
                    let request = match handler {
                        "/ws" => client.websocket(&address),
                        _ => post(&client, &address),
                    };
                    let request = put(request.origin("http://localhost"), &token);
                    let response = match request.connect().await {
                        Ok(socket) => socket.response().clone(),
                        Err(response) => response,
                    };
                    admitted += usize::from(response.headers().contains_key("x-admitted"));
                    emitted.add(raw(response.headers()));
                    emitted.add(response.body());
                }
            }
        }
    }
    admitted
}

fn post(client: &TestClient, address: &str) -> TestRequest {
    client.post(address).body("hello")
}

/// The layers around, outermost last: sensitive headers, then a trace with our span.
fn guarded(app: Router) -> Router {
    let trace = TraceLayer::new_for_http()
        .make_span_with(redacting_span)
        .on_request(DefaultOnRequest::new().level(Level::INFO))
        .on_response(
            DefaultOnResponse::new()
                .level(Level::INFO)
                .include_headers(true),
        );
    let sensitive = [AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL];
    app.layer(trace)
        .layer(SetSensitiveRequestHeadersLayer::new(sensitive))
}

/// Handlers that keep nothing to themselves, inside a trace that prints all headers.
fn handlers() -> Router {
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().include_headers(true))
        .on_request(DefaultOnRequest::new().level(Level::INFO));
    Router::new()
        .route("/tell", any(tell))
        .route("/fail", any(fail))
        .route("/panic", any(panics))
        .route("/ws", any(open))
        .layer(CatchPanicLayer::custom(print_panic))
        .layer(trace)
}

async fn tell(request: Request) -> Response {
    admitted(dump(&request.into_parts().0))
}

async fn fail(request: Request) -> Response {
    let text = dump(&request.into_parts().0);
    tracing::error!("{text}");
    admitted((StatusCode::INTERNAL_SERVER_ERROR, text))
}

async fn panics(request: Request) -> Response {
    // Does not run the hook, which would print it to the terminal.
    std::panic::resume_unwind(Box::new(dump(&request.into_parts().0)))
}

fn print_panic(payload: Box<dyn Any + Send>) -> Response {
    let text = payload.downcast::<String>().unwrap();
    tracing::error!("{text}");
    admitted((StatusCode::INTERNAL_SERVER_ERROR, *text))
}

async fn open(request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let text = dump(&parts);
    let guarded = GuardedUpgrade::<()>::from_request_parts(&mut parts.clone(), &()).await;
    tracing::info!("{text} {guarded:?}");
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => {
            // Prints the subprotocols.
            tracing::info!("{upgrade:?}");
            admitted(upgrade.protocols(["chat"]).on_upgrade(async |_| {}))
        }
        Err(rejection) => rejection.into_response(),
    }
}

fn admitted(response: impl IntoResponse) -> Response {
    ([("x-admitted", "yes")], response).into_response()
}

/// All that a handler can find out.
fn dump(parts: &Parts) -> String {
    let original = parts.extensions.get::<OriginalUri>();
    let identity = parts.extensions.get::<Identity>();
    let headers = raw(&parts.headers);
    format!(
        "{parts:?} {} {original:?} {identity:?} {headers}",
        parts.uri
    )
}

/// Headers as they are, the sensitive ones, too.
fn raw(headers: &HeaderMap) -> String {
    headers
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            writeln!(text, "{name}: {value}").unwrap();
            text
        })
}

/// A secret that occurs nowhere else, and has characters that every encoding changes.
fn canary(name: &str) -> String {
    format!("c4nary+{name}/0123456789abcdef")
}

fn entry(token: &str) -> String {
    format!("v1.bearer.{}", URL_SAFE_NO_PAD.encode(token))
}

fn percent(token: &str) -> String {
    utf8_percent_encode(token, NON_ALPHANUMERIC).to_string()
}

fn no_query(_: &str) -> String {
    String::new()
}

/// What stands in a text from where a canary begins, be it as it is, percent-encoded or in base64,
/// and wherever it ends.
fn found(text: &str) -> BTreeSet<&str> {
    let stem = &canary("")[..6];
    let encoded = STANDARD.encode(stem);
    let beginnings = [stem, &encoded].map(|stem| text.match_indices(stem).map(|(at, _)| at));
    let context = |at: usize| text[at..].split(char::is_whitespace).next();
    beginnings
        .into_iter()
        .flatten()
        .filter_map(context)
        .collect()
}

/// Everything that was logged or answered.
#[derive(Clone, Default)]
pub(crate) struct Emitted(Arc<Mutex<Vec<u8>>>);

impl Emitted {
    /// Writes down whatever this thread logs, at every level.
    pub(crate) fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let emitted = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || emitted.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn add(&self, bytes: impl AsRef<[u8]>) {
        self.0.lock().unwrap().extend_from_slice(bytes.as_ref());
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Emitted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
