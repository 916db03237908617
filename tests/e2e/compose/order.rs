//! The complete stack of layers in the order that the book recommends.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{any, get};
use portcullis::carrier::QueryCarrier;
use portcullis::links::PersistToken;
use portcullis::seal::{CookieKey, CookieKeys, SealedCookie};
use portcullis::testing::{TestClient, TestRequest, TestResponse};
use portcullis::trace::redacting_span;
use portcullis::verify::StaticToken;
use portcullis::{
    AuthLayer, GuardedUpgrade, Identity, PersistTokenLayer, Profile, RequireScopeLayer,
    StaticTokens,
};
use portcullis_e2e::{leaks, new_secret};
use tower::{Layer, ServiceBuilder};
use tower_http::cors::CorsLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tracing::subscriber::DefaultGuard;

use super::{Probe, entry, record};

const APP: &str = "https://app.example.com";

#[tokio::test]
async fn a_link_logs_in_and_its_cookie_opens_a_socket() {
    for site in sites() {
        let link = site.page(&format!("/?token={}&tab=2", site.alice));
        let response = link.send().await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.header("location"), Some("/?tab=2"));
        let cookie = cookie_of(&response);

        let page = site.page("/?tab=2").header(header::COOKIE, cookie.clone());
        let response = page.send().await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.text(), "alice at /?tab=2, original /?tab=2");

        let handshake = site.client.websocket("/ws").origin("http://localhost");
        let handshake = handshake.header(header::COOKIE, cookie);
        let mut socket = handshake.connect().await.unwrap();
        assert_eq!(socket.text().await, "alice");
    }
}

/// The request of a script is not redirected: its token stays in the URI until admission removes it.
#[tokio::test]
async fn the_handler_sees_no_token_in_the_uri_or_the_original_uri() {
    for site in sites() {
        let call = site.client.get(&format!("/?token={}&tab=2", site.alice));
        let response = call.send().await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.text(), "alice at /?tab=2, original /?tab=2");

        let handshake = site
            .client
            .websocket(&format!("/ws?a=1&token={}", site.alice));
        handshake.connect().await.unwrap();
        assert_eq!(site.probe.requests(), 2);
        assert_eq!(leaks(&site.probe.text(), &[site.alice]), [""; 0]);
    }
}

#[tokio::test]
async fn a_preflight_needs_no_credential() {
    for site in sites() {
        let preflight = site
            .client
            .request(Method::OPTIONS, "/")
            .origin(APP)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET");
        let response = preflight.send().await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.header("access-control-allow-origin"), Some(APP));
        assert_eq!(site.probe.requests(), 0);
    }
}

#[tokio::test]
async fn the_scope_is_checked_after_admission() {
    for site in sites() {
        let handshake = |token: &str| site.client.websocket("/ws").bearer(token);
        let refused = handshake(&site.bob).connect().await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert!(refused.text().contains("insufficient"), "{refused}");
        assert_eq!(site.probe.requests(), 1, "the request reached the route");
        handshake(&site.alice).connect().await.unwrap();
    }
}

/// `RequireScopeLayer` outside `AuthLayer` finds no identity, whatever the credential.
#[tokio::test]
async fn a_scope_layer_outside_admission_refuses_every_request() {
    let tokens = StaticTokens::new([StaticToken::new("alice", "t0k").unwrap().scopes(["chat"])]);
    let early = Router::new()
        .route("/ws", any(ws))
        .route_layer(AuthLayer::new(tokens.unwrap()))
        .route_layer(RequireScopeLayer::all(["chat"]));
    for client in super::clients(early) {
        let handshake = client.websocket("/ws").bearer("t0k");
        let refused = handshake.connect().await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found_with_or_without_a_credential() {
    for site in sites() {
        for request in [
            site.client.get("/nowhere"),
            site.client.get("/nowhere").bearer(&site.alice),
            site.client.get("/nowhere").bearer("unknown"),
            site.client.websocket("/nowhere"),
            site.client.get(&format!("/nowhere?token={}", site.alice)),
        ] {
            assert_eq!(request.send().await.status(), StatusCode::NOT_FOUND);
        }
    }
}

#[tokio::test]
async fn no_secret_is_logged() {
    let log = Log::default();
    let _guard = log.capture();
    let mut secrets = Vec::new();
    for site in sites() {
        secrets.extend(site.send_all().await);
    }
    let text = log.text();
    // Each layer has logged something.
    for event in [
        "?[",
        "/nowhere",
        "a link logs a browser in",
        "insufficient-scope",
        "alice at",
    ] {
        assert!(text.contains(event), "{event} is not in the log");
    }
    assert_eq!(leaks(&text, &secrets), [""; 0]);
}

/// The control of the test above: with the default span of `TraceLayer` the search finds secrets.
#[tokio::test]
async fn the_default_span_of_trace_layer_logs_the_link() {
    let log = Log::default();
    let _guard = log.capture();
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(tracing::Level::INFO));
    let app = |routes: Router| routes.layer(trace);
    let secrets = Site::new(app).send_all().await;
    assert!(!leaks(&log.text(), &secrets).is_empty());
}

struct Site {
    client: TestClient,
    /// The probe in front of the handlers and the scope layer.
    probe: Probe,
    alice: String,
    bob: String,
}

/// Returns the application with a client for each version of HTTP.
fn sites() -> [Site; 2] {
    let site = || {
        Site::new(|routes| {
            routes.layer(
                ServiceBuilder::new()
                    .layer(SetSensitiveRequestHeadersLayer::new([
                        header::AUTHORIZATION,
                        header::COOKIE,
                        header::SEC_WEBSOCKET_PROTOCOL,
                    ]))
                    .layer(TraceLayer::new_for_http().make_span_with(redacting_span))
                    .layer(CorsLayer::new().allow_origin(HeaderValue::from_static(APP))),
            )
        })
    };
    let http2 = site();
    [
        site(),
        Site {
            client: http2.client.clone().http2(),
            ..http2
        },
    ]
}

impl Site {
    /// Builds the layers of the book. `around` adds those between admission and the links.
    fn new(around: impl FnOnce(Router) -> Router) -> Self {
        let [alice, bob] = [new_secret(), new_secret()];
        let tokens = StaticTokens::new([
            StaticToken::new("alice", &alice).unwrap().scopes(["chat"]),
            StaticToken::new("bob", &bob).unwrap(),
        ]);
        let cookie = SealedCookie::new("session", CookieKeys::new(&CookieKey::generate()));
        let auth = AuthLayer::new(tokens.unwrap()).profile(
            Profile::default()
                .carrier(QueryCarrier::named("token"))
                .carrier(cookie.clone()),
        );
        let links = PersistTokenLayer::for_auth(&auth, cookie);
        let probe = Probe::default();
        let routes = Router::new()
            .route("/", get(page))
            .route("/ws", any(ws).layer(RequireScopeLayer::all(["chat"])))
            .route_layer(from_fn_with_state(probe.clone(), record))
            .route_layer(auth);
        let app: PersistToken<Router, _> = links.layer(around(routes));
        Self {
            client: TestClient::new(app),
            probe,
            alice,
            bob,
        }
    }

    /// Returns the request of a browser for a page.
    fn page(&self, path: &str) -> TestRequest {
        self.client
            .get(path)
            .header(header::ACCEPT, "text/html,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", "none")
    }

    /// Sends the tokens, and an unknown one, by every carrier to every path. Returns all secrets,
    /// cookies included, that must not be in a log.
    async fn send_all(self) -> Vec<String> {
        let mut secrets = vec![self.alice.clone(), self.bob.clone(), new_secret()];
        for token in secrets.clone() {
            for path in ["/", "/ws", "/nowhere"] {
                let link = format!("{path}?token={token}");
                let response = self.page(&link).send().await;
                if response.status() == StatusCode::SEE_OTHER {
                    let cookie = cookie_of(&response);
                    let (_, sealed) = cookie.to_str().unwrap().split_once('=').unwrap();
                    secrets.push(sealed.to_owned());
                    self.page(path).header(header::COOKIE, cookie).send().await;
                }
                for request in [
                    self.client.get(&link),
                    self.client.websocket(&link),
                    self.client.get(path).bearer(&token),
                    self.client.get(path).basic("alice", &token),
                    self.client.websocket(path).bearer(&token),
                    self.client
                        .websocket(path)
                        .protocols(["v1.bearer", &entry(&token)]),
                ] {
                    // Every outcome is accepted, and an open socket is dropped.
                    let _ = request.connect().await;
                }
            }
        }
        assert!(secrets.len() > 3, "the links set cookies");
        secrets
    }
}

async fn page(identity: Identity, OriginalUri(original): OriginalUri, request: Request) -> String {
    tracing::info!(?request, "handler");
    // Over HTTP/2 the URI has a host.
    let path = |uri: &Uri| uri.path_and_query().unwrap().to_string();
    let text = format!(
        "{} at {}, original {}",
        identity.subject(),
        path(request.uri()),
        path(&original)
    );
    tracing::info!("{text}");
    text
}

async fn ws(upgrade: GuardedUpgrade) -> Response {
    tracing::info!(?upgrade, "handler");
    upgrade.on_upgrade(async |mut socket| {
        let subject = socket.identity().subject().to_owned();
        let _ = socket.send(subject.into()).await;
    })
}

/// Returns the pair of the first `Set-Cookie`, as a browser sends it.
fn cookie_of(response: &TestResponse) -> HeaderValue {
    let line = response.header("set-cookie").unwrap();
    let (pair, attributes) = line.split_once(';').unwrap();
    assert!(pair.starts_with("__Host-session="), "{pair}");
    assert!(attributes.contains("HttpOnly"), "{attributes}");
    let mut pair = HeaderValue::from_str(pair).unwrap();
    // The client is in this process, and logs its requests.
    pair.set_sensitive(true);
    pair
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture(&self) -> DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
