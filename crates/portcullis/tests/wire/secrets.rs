//! No log line and no response contains a secret. Every carrier contains a canary that is valid,
//! unknown or malformed. The handlers print everything they receive, panic with it or fail with it,
//! and the test captures the log at every level.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Write as _;

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
use portcullis::testing::TestRequest;
use portcullis::{AuthLayer, GuardedUpgrade, Identity, StaticTokens, trace::redacting_span};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::trace::{DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, TraceLayer};
use tracing::Level;

use crate::support::{CapturedLog, HttpVersion, bearer_entry, deferred, every_carrier};

/// The query with a canary.
type Query = fn(&str) -> String;

/// Adds a canary to the headers.
type AddHeaders = fn(TestRequest, &str) -> TestRequest;

const CARRIERS: &[(&str, Query, AddHeaders)] = &[
    ("bearer", no_query, |r, token| r.bearer(token)),
    ("basic", no_query, |r, token| r.basic("alice", token)),
    ("subprotocol", no_query, |r, token| {
        r.protocols(["chat", &bearer_entry(token)])
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
                .protocols(["chat", &bearer_entry(token)])
                .header(COOKIE, cookie)
        },
    ),
    // Refused ones.
    ("unknown-scheme", no_query, |r, token| {
        r.header(AUTHORIZATION, format!("Digest {token}"))
    }),
    ("two-bearers", no_query, |r, token| {
        r.bearer(token).bearer(token)
    }),
    ("two-tokens", no_query, |r, token| {
        r.bearer(&format!("{token} {token}"))
    }),
    ("no-colon", no_query, |r, token| {
        r.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(token)))
    }),
    ("plain-entry", no_query, |r, token| {
        r.header(SEC_WEBSOCKET_PROTOCOL, format!("chat, v1.bearer.{token}"))
    }),
    ("two-entries", no_query, |r, token| {
        let entry = bearer_entry(token);
        r.protocols([&*entry, "chat", &entry])
    }),
    ("entry-alone", no_query, |r, token| {
        r.protocols([&*bearer_entry(token)])
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
        "conflict",
        |_| "?token=another".to_owned(),
        |r, token| r.bearer(token),
    ),
    ("foreign-origin", no_query, |r, token| {
        let request = r.without("origin").origin("http://evil.com");
        request.header(COOKIE, format!("s={token}"))
    }),
];

const HANDLERS: [&str; 4] = ["/print", "/panic", "/fail", "/ws"];

#[tokio::test]
async fn no_secret_reaches_logs_or_responses() {
    let canaries: Vec<_> = CARRIERS.iter().map(|(name, ..)| canary(name)).collect();
    let known = canaries.iter().enumerate();
    let tokens = known.map(|(i, canary)| (if i == 1 { "alice" } else { "bob" }, &**canary));
    let tokens = StaticTokens::new(tokens).unwrap();
    let auth = AuthLayer::new(tokens.clone()).profile(every_carrier());
    // A deferred verification moves the request into a future.
    let later = AuthLayer::new(deferred(tokens)).profile(every_carrier());

    let log = CapturedLog::default();
    let _guard = log.capture();
    let mut admitted = 0;
    for app in [
        traced(handlers().layer(auth)),
        traced(handlers().layer(later)),
    ] {
        admitted += send_canaries(&app, &log).await;
    }
    // The valid canaries of six carriers reach four handlers each, and that of the subprotocol
    // reaches one, over two versions of HTTP and with two verifiers.
    assert_eq!(admitted, (6 * 4 + 1) * 2 * 2);
    // The handlers, the layers and the events of refusals are in the log.
    let text = log.text();
    for expected in [
        "/print",
        "bob",
        "?[",
        "profile=\"every\"",
        "malformed-credential",
        "chat",
    ] {
        assert!(text.contains(expected), "{expected} is not in the log");
    }
    assert_eq!(found(&text), BTreeSet::new());
}

/// Without the layer every canary is in the log, so the search works.
#[tokio::test]
async fn search_finds_every_canary_without_the_layer() {
    let log = CapturedLog::default();
    let _guard = log.capture();
    send_canaries(&traced(handlers()), &log).await;
    let text = log.text();
    let found = found(&text);
    for (name, ..) in CARRIERS {
        let canary = canary(name);
        // The last symbols of base64 depend on the bytes that follow.
        let encoded = [STANDARD.encode(&canary), URL_SAFE_NO_PAD.encode(&canary)];
        let base64 = encoded.map(|encoded| encoded[..encoded.len() - 4].to_owned());
        let forms = [&canary, &percent(&canary), &base64[0], &base64[1]];
        let is_found = |form: &&String| found.iter().any(|hit| hit.starts_with(form.as_str()));
        assert!(forms.iter().any(is_found), "{canary} in {found:#?}");
    }
}

/// Sends a valid and an unknown canary in every carrier to every handler, and appends the responses
/// to the log. Returns how many requests reached a handler.
async fn send_canaries(app: &Router, log: &CapturedLog) -> usize {
    let mut admitted = 0;
    for version in HttpVersion::ALL {
        let client = version.client(app.clone());
        for (name, query, add_headers) in CARRIERS {
            for token in [canary(name), canary(&format!("unknown-{name}"))] {
                for handler in HANDLERS {
                    let target = format!("{handler}{}", query(&token));
                    let request = match handler {
                        "/ws" => client.websocket(&target),
                        _ => client.post(&target).body("hello"),
                    };
                    let request = add_headers(request.origin("http://localhost"), &token);
                    let response = match request.connect().await {
                        Ok(socket) => socket.response().clone(),
                        Err(response) => response,
                    };
                    admitted += usize::from(response.headers().contains_key("x-admitted"));
                    log.append(raw(response.headers()));
                    log.append(response.body());
                }
            }
        }
    }
    admitted
}

/// Adds the outer layers: sensitive headers outside, then a trace with `redacting_span`.
fn traced(app: Router) -> Router {
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

/// Handlers that print everything they receive, inside a trace that prints all headers.
fn handlers() -> Router {
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().include_headers(true))
        .on_request(DefaultOnRequest::new().level(Level::INFO));
    Router::new()
        .route("/print", any(print))
        .route("/fail", any(fail))
        .route("/panic", any(panics))
        .route("/ws", any(open))
        .layer(CatchPanicLayer::custom(print_panic))
        .layer(trace)
}

async fn print(request: Request) -> Response {
    admitted(dump(&request.into_parts().0))
}

async fn fail(request: Request) -> Response {
    let text = dump(&request.into_parts().0);
    tracing::error!("{text}");
    admitted((StatusCode::INTERNAL_SERVER_ERROR, text))
}

async fn panics(request: Request) -> Response {
    // Does not run the panic hook, which would print to the terminal.
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
    let guarded = GuardedUpgrade::from_request_parts(&mut parts.clone(), &()).await;
    tracing::info!("{text} {guarded:?}");
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => {
            // The debug output contains the subprotocols.
            tracing::info!("{upgrade:?}");
            admitted(upgrade.protocols(["chat"]).on_upgrade(async |_| {}))
        }
        Err(rejection) => rejection.into_response(),
    }
}

fn admitted(response: impl IntoResponse) -> Response {
    ([("x-admitted", "yes")], response).into_response()
}

/// Everything that a handler can read.
fn dump(parts: &Parts) -> String {
    let original = parts.extensions.get::<OriginalUri>();
    let identity = parts.extensions.get::<Identity>();
    let headers = raw(&parts.headers);
    format!(
        "{parts:?} {} {original:?} {identity:?} {headers}",
        parts.uri
    )
}

/// Headers with their values, including the sensitive ones.
fn raw(headers: &HeaderMap) -> String {
    headers
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            writeln!(text, "{name}: {value}").unwrap();
            text
        })
}

/// A unique secret with characters that every encoding changes.
fn canary(name: &str) -> String {
    format!("c4nary+{name}/0123456789abcdef")
}

fn percent(token: &str) -> String {
    utf8_percent_encode(token, NON_ALPHANUMERIC).to_string()
}

fn no_query(_: &str) -> String {
    String::new()
}

/// The parts of a text from each canary to the next space. A canary may be plain, percent-encoded
/// or in base64.
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
