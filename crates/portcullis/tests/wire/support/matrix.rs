//! Sends one request in four ways that must have the same outcome.

use std::mem;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, OriginalUri, Request};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http::header::UPGRADE;
use http::{Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use portcullis::carrier::{
    AuthorizationCarrier, CookieCarrier, QueryCarrier, SubprotocolCarrier, SubprotocolEncoding,
};
use portcullis::testing::{Counting, Message, TestClient, TestRequest};
use portcullis::{
    AuthLayer, Credential, GuardedUpgrade, Identity, Profile, StaticTokens, Tickets, Verify,
    VerifyError, identity::Proof, refusal::Refusal,
};
use tokio::io::DuplexStream;

use super::HttpVersion;
use super::outcome::{ANONYMOUS, Outcome, Received, Upgrade};

/// An application behind one `AuthLayer`, over HTTP/1.1 and HTTP/2, with a verifier that answers
/// immediately and with one that defers its answer.
///
/// Every path leads to one handler. It records the request and opens a socket for an upgrade.
pub(crate) struct Matrix {
    variants: Vec<Variant>,
}

impl Matrix {
    /// Accepts these tokens, given as `(subject, token)`, behind a layer with these settings.
    pub(crate) fn new(
        tokens: &[(&str, &str)],
        settings: impl Fn(AuthLayer<Verifier>) -> AuthLayer<Verifier>,
    ) -> Self {
        Self::with_tickets(tokens, None, settings)
    }

    /// Accepts tickets as well.
    pub(crate) fn with_tickets(
        tokens: &[(&str, &str)],
        tickets: Option<&Arc<Tickets>>,
        settings: impl Fn(AuthLayer<Verifier>) -> AuthLayer<Verifier>,
    ) -> Self {
        let tokens = StaticTokens::new(tokens.iter().copied()).unwrap();
        let answers = [Answers::Immediately, Answers::Deferred];
        let variants = answers.into_iter().flat_map(|answers| {
            let verifier = Counting::new(TimedVerifier {
                tokens: tokens.clone(),
                tickets: tickets.cloned(),
                answers,
            });
            let auth = settings(AuthLayer::new(verifier.clone()));
            let record = Arc::<Mutex<Record>>::default();
            let app = app(auth, &record);
            HttpVersion::ALL.map(|version| Variant {
                version,
                answers,
                client: version.client(app.clone()),
                verifier: verifier.clone(),
                record: Arc::clone(&record),
            })
        });
        Self {
            variants: variants.collect(),
        }
    }

    /// Restricts the requests to one version of HTTP.
    pub(crate) fn only(mut self, version: HttpVersion) -> Self {
        self.variants.retain(|variant| variant.version == version);
        self
    }

    /// Sends the requests to this authority.
    pub(crate) fn authority(mut self, authority: &str) -> Self {
        for variant in &mut self.variants {
            variant.client = variant.client.clone().authority(authority);
        }
        self
    }

    /// Opens one connection for each variant, for bytes that no client sends.
    pub(crate) fn pipes(&self) -> impl Iterator<Item = DuplexStream> {
        self.variants.iter().map(|variant| variant.client.pipe())
    }

    /// Sends a request in every variant.
    pub(crate) async fn send(&self, request: impl Fn(&TestClient) -> TestRequest) -> Outcome {
        self.send_request(|client| request(client).into_request())
            .await
    }

    /// Sends a request that [`TestRequest`] cannot express.
    pub(crate) async fn send_request(
        &self,
        request: impl Fn(&TestClient) -> http::Request<Bytes>,
    ) -> Outcome {
        self.send_with_messages(|client| (request(client), Vec::new()))
            .await
    }

    /// Sends a request, and messages once the socket is open.
    pub(crate) async fn send_with_messages(
        &self,
        begin: impl Fn(&TestClient) -> (http::Request<Bytes>, Vec<String>),
    ) -> Outcome {
        let mut first: Option<Outcome> = None;
        for variant in &self.variants {
            let (request, messages) = begin(&variant.client);
            let outcome = variant.send(request, messages).await;
            match &mut first {
                Some(first) => first.compare(&outcome, (variant.version, variant.answers)),
                None => first = Some(outcome),
            }
        }
        first.expect("a matrix has variants")
    }
}

/// A profile with every carrier: `Bearer` and `Basic`, `v1.bearer.` with its marker, `?token=`, and
/// the cookie `s`.
pub(crate) fn every_carrier() -> Profile {
    let subprotocol = SubprotocolCarrier::prefixed("v1.bearer.", SubprotocolEncoding::Base64Url);
    Profile::new("every")
        .carrier(AuthorizationCarrier::bearer().and_basic())
        .carrier(subprotocol.marker("v1.bearer"))
        .carrier(QueryCarrier::named("token"))
        .carrier(CookieCarrier::named("s"))
}

/// The verifier of a [`Matrix`].
pub(crate) type Verifier = Counting<TimedVerifier>;

/// Verifies static tokens, then tickets if there are any.
#[derive(Debug)]
pub(crate) struct TimedVerifier {
    tokens: StaticTokens,
    tickets: Option<Arc<Tickets>>,
    answers: Answers,
}

/// When a verifier answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answers {
    Immediately,
    Deferred,
}

impl Verify for TimedVerifier {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        tokio::task::yield_now().await;
        match (self.tokens.verify(credential).await, &self.tickets) {
            (Err(VerifyError::Invalid), Some(tickets)) => tickets.verify(credential).await,
            (answer, _) => answer,
        }
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        match (self.answers, &self.tickets) {
            (Answers::Immediately, None) => self.tokens.verify_now(credential),
            (Answers::Immediately, Some(_)) => {
                self.tokens.verify_now(credential).filter(Result::is_ok)
            }
            (Answers::Deferred, _) => None,
        }
    }

    fn needs_handshake(&self) -> bool {
        self.tickets.is_some()
    }
}

/// One of the ways in which a request is sent.
struct Variant {
    version: HttpVersion,
    answers: Answers,
    client: TestClient,
    verifier: Verifier,
    record: Arc<Mutex<Record>>,
}

impl Variant {
    async fn send(&self, request: http::Request<Bytes>, messages: Vec<String>) -> Outcome {
        let is_upgrade =
            request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE);
        let calls_before = self.verifier.calls();
        let (response, upgrade) = match self.client.connect(request).await {
            Ok(mut socket) => {
                for text in messages {
                    // A socket that is closed at the first message may not take the second one.
                    let _ = socket.send(text).await;
                }
                let upgrade = match socket.recv().await {
                    Some(Ok(Message::Close(Some(frame)))) => Upgrade::Closed(frame.code()),
                    Some(Ok(Message::Text(text))) if text == GREETING => Upgrade::Opened,
                    other => panic!("expected a greeting, got {other:?}"),
                };
                let response = socket.response().clone();
                socket.close().await;
                (response, upgrade)
            }
            Err(response) => (response, Upgrade::Refused),
        };
        let Record {
            mut received,
            refusal,
        } = mem::take(&mut *self.record.lock().unwrap());
        assert!(received.len() <= 1, "the handler was called more than once");
        let outcome = Outcome {
            response,
            upgrade,
            refusal,
            received: received.pop(),
            verifier_calls: self.verifier.calls() - calls_before,
            differing: Vec::new(),
        };
        outcome.assert_contract(is_upgrade, self.version);
        outcome
    }
}

/// What the application records of one request.
#[derive(Debug, Default)]
struct Record {
    received: Vec<Received>,
    refusal: Option<Refusal>,
}

/// The first message of every socket. It shows that the handler has the socket.
const GREETING: &str = "hello";

fn app(auth: AuthLayer<Verifier>, record: &Arc<Mutex<Record>>) -> Router {
    let (inside, outside) = (Arc::clone(record), Arc::clone(record));
    let handler = move |request: Request| handle(request, Arc::clone(&inside));
    let record_refusal = move |response: Response| {
        let refusal = response.extensions().get::<Refusal>().cloned();
        outside.lock().unwrap().refusal = refusal;
        async { response }
    };
    Router::new()
        .route("/{*path}", any(handler))
        .route_layer(auth)
        .layer(map_response(record_refusal))
}

async fn handle(request: Request, record: Arc<Mutex<Record>>) -> Response {
    let (mut parts, _) = request.into_parts();
    let identity = parts.extensions.get::<Identity>().cloned();
    let original_uri = parts.extensions.get::<OriginalUri>();
    record.lock().unwrap().received.push(Received {
        identity: identity
            .as_ref()
            .map_or_else(|| ANONYMOUS.to_owned(), describe),
        headers: parts.headers.clone(),
        uri: parts.uri.to_string(),
        original_uri: original_uri.map(|uri| uri.to_string()).unwrap_or_default(),
    });

    let is_upgrade = parts.method == Method::CONNECT || parts.headers.contains_key(UPGRADE);
    if !is_upgrade {
        return StatusCode::OK.into_response();
    }
    const PROTOCOLS: [&str; 2] = ["chat.v2", "chat.v1"];
    // The layer removes `OnUpgrade` from a request that opens a pending socket.
    let is_pending = parts.extensions.get::<OnUpgrade>().is_none();
    if identity.is_some() || is_pending {
        match GuardedUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade
                .protocols(PROTOCOLS)
                .on_upgrade(async move |mut socket| {
                    if let Some(received) = record.lock().unwrap().received.last_mut() {
                        received.identity = describe(&socket.identity());
                    }
                    let _ = socket.send(GREETING.into()).await;
                    while let Some(Ok(_)) = socket.recv().await {}
                }),
            Err(rejection) => rejection.into_response(),
        }
    } else {
        match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.protocols(PROTOCOLS).on_upgrade(async |mut socket| {
                let _ = socket.send(GREETING.into()).await;
                while let Some(Ok(_)) = socket.recv().await {}
            }),
            Err(rejection) => rejection.into_response(),
        }
    }
}

fn describe(identity: &Identity) -> String {
    let subject = identity.subject();
    let Proof {
        carrier, scheme, ..
    } = identity.proof().expect("an admitted identity has a proof");
    match scheme.as_str() {
        "bearer" => format!("{subject} by {carrier}"),
        scheme => format!("{subject} by {carrier} ({scheme})"),
    }
}
