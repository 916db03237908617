//! The application that the tables speak to.

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
use portcullis::carrier::{Authorization, Cookie, Query, Subprotocol, SubprotocolEncoding};
use portcullis::testing::{Counting, Message, TestClient, TestRequest};
use portcullis::{
    AuthLayer, Credential, GuardedUpgrade, Identity, Profile, Proof, Refusal, StaticTokens,
    Tickets, Verify, VerifyError,
};
use tokio::io::DuplexStream;

use crate::outcome::{Fate, Outcome, Seen};

/// An application behind one `AuthLayer`: every path leads to the same handler, which opens a
/// socket where it is asked to, and takes down what it sees.
pub(crate) struct Site {
    ways: Vec<Way>,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Over {
    Http1,
    Http2,
}

impl Over {
    pub(crate) const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    pub(crate) fn client(self, app: Router) -> TestClient {
        match self {
            Self::Http1 => TestClient::new(app),
            Self::Http2 => TestClient::new(app).http2(),
        }
    }
}

impl Site {
    /// Knows these subjects by their tokens, and is built as `settings` say.
    pub(crate) fn new(
        tokens: &[(&str, &str)],
        settings: impl Fn(AuthLayer<Verifier>) -> AuthLayer<Verifier>,
    ) -> Self {
        Self::with_tickets(tokens, None, settings)
    }

    /// Knows them by these tickets, too.
    pub(crate) fn with_tickets(
        tokens: &[(&str, &str)],
        tickets: Option<&Arc<Tickets>>,
        settings: impl Fn(AuthLayer<Verifier>) -> AuthLayer<Verifier>,
    ) -> Self {
        let tokens = StaticTokens::new(tokens.iter().copied()).unwrap();
        let pace = [Pace::AtOnce, Pace::Later];
        let ways = pace.into_iter().flat_map(|pace| {
            let verifier = Counting::new(Paced {
                tokens: tokens.clone(),
                tickets: tickets.cloned(),
                pace,
            });
            let auth = settings(AuthLayer::new(verifier.clone()));
            let notes = Arc::<Mutex<Notes>>::default();
            let app = app(auth, &notes);
            Over::BOTH.map(|over| Way {
                over,
                pace,
                client: over.client(app.clone()),
                verifier: verifier.clone(),
                notes: Arc::clone(&notes),
            })
        });
        Self {
            ways: ways.collect(),
        }
    }

    /// The same, for requests that only this version of HTTP has.
    pub(crate) fn only(mut self, over: Over) -> Self {
        self.ways.retain(|way| way.over == over);
        self
    }

    /// Is asked for by this name.
    pub(crate) fn authority(mut self, authority: &str) -> Self {
        for way in &mut self.ways {
            way.client = way.client.clone().authority(authority);
        }
        self
    }

    /// A connection in every way, for bytes that no client sends.
    pub(crate) fn pipes(&self) -> impl Iterator<Item = DuplexStream> {
        self.ways.iter().map(|way| way.client.pipe())
    }

    /// Sends what `request` makes, in every way, and tells what came of it.
    pub(crate) async fn ask(&self, request: impl Fn(&TestClient) -> TestRequest) -> Outcome {
        self.ask_raw(|client| request(client).into_request()).await
    }

    /// The same for requests that need more freedom.
    pub(crate) async fn ask_raw(
        &self,
        request: impl Fn(&TestClient) -> http::Request<Bytes>,
    ) -> Outcome {
        self.converse(|client| (request(client), Vec::new())).await
    }

    /// The same for clients that say something, too, once the socket is open.
    pub(crate) async fn converse(
        &self,
        begin: impl Fn(&TestClient) -> (http::Request<Bytes>, Vec<String>),
    ) -> Outcome {
        let mut first: Option<Outcome> = None;
        for way in &self.ways {
            let (request, says) = begin(&way.client);
            let outcome = way.ask(request, says).await;
            match &mut first {
                Some(first) => first.compare(&outcome, (way.over, way.pace)),
                None => first = Some(outcome),
            }
        }
        first.expect("there is a way")
    }
}

/// Every carrier there is: `Bearer` and `Basic`, `v1.bearer.` with its marker, `?token=`, and the
/// cookie `s`.
pub(crate) fn every_carrier() -> Profile {
    let subprotocol = Subprotocol::prefixed("v1.bearer.", SubprotocolEncoding::Base64Url);
    Profile::new("every")
        .carrier(Authorization::bearer().and_basic())
        .carrier(subprotocol.marker("v1.bearer"))
        .carrier(Query::named("token"))
        .carrier(Cookie::named("s"))
}

/// The verifier of every site.
pub(crate) type Verifier = Counting<Paced>;

/// Static tokens that answer at once, or take their time; and then tickets, if there are any.
#[derive(Debug)]
pub(crate) struct Paced {
    tokens: StaticTokens,
    tickets: Option<Arc<Tickets>>,
    pace: Pace,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pace {
    AtOnce,
    Later,
}

impl Verify for Paced {
    type Claims = ();

    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        tokio::task::yield_now().await;
        match (self.tokens.verify(credential).await, &self.tickets) {
            (Err(VerifyError::Invalid), Some(tickets)) => tickets.verify(credential).await,
            (answer, _) => answer,
        }
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        match (self.pace, &self.tickets) {
            (Pace::AtOnce, None) => self.tokens.verify_now(credential),
            (Pace::AtOnce, Some(_)) => self.tokens.verify_now(credential).filter(Result::is_ok),
            (Pace::Later, _) => None,
        }
    }

    fn needs_handshake(&self) -> bool {
        self.tickets.is_some()
    }
}

/// One of the ways in which a row is run.
struct Way {
    over: Over,
    pace: Pace,
    client: TestClient,
    verifier: Verifier,
    notes: Arc<Mutex<Notes>>,
}

impl Way {
    async fn ask(&self, request: http::Request<Bytes>, says: Vec<String>) -> Outcome {
        let upgrade =
            request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE);
        let asked_before = self.verifier.calls();
        let (response, fate) = match self.client.connect(request).await {
            Ok(mut socket) => {
                for text in says {
                    // Whoever is closed at the first word may not get to the second.
                    let _ = socket.send(text).await;
                }
                let fate = match socket.recv().await {
                    Some(Ok(Message::Close(Some(frame)))) => Fate::Closed(frame.code.into()),
                    Some(Ok(Message::Text(text))) if text == GREETING => Fate::Open,
                    other => panic!("expected a greeting, got {other:?}"),
                };
                let response = socket.response().clone();
                socket.close().await;
                (response, fate)
            }
            Err(response) => (response, Fate::Refused),
        };
        let Notes { mut seen, refusal } = mem::take(&mut *self.notes.lock().unwrap());
        assert!(seen.len() <= 1, "the handler was called more than once");
        let outcome = Outcome {
            response,
            fate,
            refusal,
            seen: seen.pop(),
            asked: self.verifier.calls() - asked_before,
            differing: Vec::new(),
        };
        outcome.assert_contract(upgrade, self.over);
        outcome
    }
}

/// What was taken down while a request was answered.
#[derive(Debug, Default)]
struct Notes {
    seen: Vec<Seen>,
    refusal: Option<Refusal>,
}

/// What every socket starts with, so that a row knows that it is one.
const GREETING: &str = "hello";

fn app(auth: AuthLayer<Verifier>, notes: &Arc<Mutex<Notes>>) -> Router {
    let (inside, outside) = (Arc::clone(notes), Arc::clone(notes));
    let handler = move |request: Request| handle(request, Arc::clone(&inside));
    let note_refusal = move |response: Response| {
        let refusal = response.extensions().get::<Refusal>().cloned();
        outside.lock().unwrap().refusal = refusal;
        async { response }
    };
    Router::new()
        .route("/{*path}", any(handler))
        .route_layer(auth)
        .layer(map_response(note_refusal))
}

async fn handle(request: Request, notes: Arc<Mutex<Notes>>) -> Response {
    let (mut parts, _) = request.into_parts();
    let identity = parts.extensions.get::<Identity>().cloned();
    let original_uri = parts.extensions.get::<OriginalUri>();
    notes.lock().unwrap().seen.push(Seen {
        who: identity.as_ref().map_or("nobody".to_owned(), describe),
        headers: parts.headers.clone(),
        uri: parts.uri.to_string(),
        original_uri: original_uri.map(|uri| uri.to_string()).unwrap_or_default(),
    });

    let plain = parts.method != Method::CONNECT && !parts.headers.contains_key(UPGRADE);
    if plain {
        return StatusCode::OK.into_response();
    }
    const PROTOCOLS: [&str; 2] = ["chat.v2", "chat.v1"];
    // What opens the socket of somebody who has yet to say who it is, is in no request.
    let is_pending = parts.extensions.get::<OnUpgrade>().is_none();
    if identity.is_some() || is_pending {
        match GuardedUpgrade::<()>::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade
                .protocols(PROTOCOLS)
                .on_upgrade(async move |mut socket| {
                    if let Some(seen) = notes.lock().unwrap().seen.last_mut() {
                        seen.who = describe(&socket.identity());
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
    } = identity.proof().expect("admission proves who it is");
    match scheme.as_str() {
        "bearer" => format!("{subject} by {carrier}"),
        scheme => format!("{subject} by {carrier} ({scheme})"),
    }
}
