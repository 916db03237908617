//! An application with sessions: tokens that end, handlers of every temper, and a ledger.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::ws::Message;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use portcullis::session::{Change, SessionEvent, SessionsBuilder};
use portcullis::testing::{FakeClock, TestClient, TestResponse, TestSocket};
use portcullis::{
    AuthLayer, Clock, Credential, GuardedUpgrade, Identity, Sessions, Verify, VerifyError,
    renewal_handler,
};

use crate::site::Over;

/// The sockets of one `Sessions`, under a clock that is turned by hand.
pub(crate) struct Live {
    pub(crate) clock: FakeClock,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
    pub(crate) ledger: Ledger,
    app: Router,
}

impl Live {
    /// Sessions as `settings` say.
    pub(crate) fn new(settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        Self::with(settings, |auth| auth)
    }

    /// The same, behind a layer as `layer` says.
    pub(crate) fn with(
        settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
        layer: impl FnOnce(AuthLayer<Tokens>) -> AuthLayer<Tokens>,
    ) -> Self {
        Self::serving(handlers(), settings, layer)
    }

    /// The same with other handlers.
    pub(crate) fn serving(
        handlers: Router,
        settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
        layer: impl FnOnce(AuthLayer<Tokens>) -> AuthLayer<Tokens>,
    ) -> Self {
        let (clock, tokens, ledger) = (FakeClock::new(), Tokens::default(), Ledger::default());
        let observer = ledger.clone();
        let builder = Sessions::builder()
            .clock(clock.clone())
            .observe(move |event| observer.write_down(event));
        let sessions = settings(builder).build();
        let auth = AuthLayer::new(tokens.clone())
            .clock(clock.clone())
            .sessions(&sessions);
        let app = handlers
            .route("/renew", post(renewal_handler(&sessions)))
            .route_layer(layer(auth));
        Self {
            clock,
            tokens,
            sessions,
            ledger,
            app,
        }
    }

    pub(crate) fn app(&self) -> Router {
        self.app.clone()
    }

    pub(crate) fn client(&self, over: Over) -> TestClient {
        over.client(self.app())
    }

    /// An identity of this subject that ends after `lifetime`.
    pub(crate) fn identity(&self, subject: &str, lifetime: Duration) -> Identity {
        Identity::builder(subject)
            .expires_at(self.clock.now() + lifetime)
            .issued_at(self.clock.now())
            .build()
    }

    /// Makes `token` good for `subject`, for so long.
    pub(crate) fn grant(&self, token: &str, subject: &str, lifetime: Duration) {
        self.tokens.set(token, Ok(self.identity(subject, lifetime)));
    }

    /// Opens a socket with `token`.
    pub(crate) async fn open(&self, over: Over, path: &str, token: &str) -> TestSocket {
        let opened = self.try_open(over, path, token).await;
        let socket = opened.unwrap_or_else(|response| panic!("{path}: {response:?}"));
        // The client may know before the server does.
        settle().await;
        socket
    }

    /// The same, if it is let in.
    pub(crate) async fn try_open(
        &self,
        over: Over,
        path: &str,
        token: &str,
    ) -> Result<TestSocket, TestResponse> {
        let handshake = self.client(over).websocket(path).bearer(token);
        handshake.connect().await
    }

    /// Lets time pass on both clocks, the wall's and tokio's.
    pub(crate) async fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(TICK);
            self.clock.advance(step);
            tokio::time::sleep(step).await;
            left -= step;
        }
    }

    /// Opened minus closed is what lives.
    pub(crate) fn assert_balanced(&self) {
        let (opened, closed) = self.ledger.balance();
        assert_eq!(
            opened - closed,
            self.sessions.len(),
            "{:?}",
            self.ledger.all()
        );
        assert_eq!(self.sessions.list().len(), self.sessions.len());
    }
}

/// Lets every task go on until it has to wait, on tokio's paused clock.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Answers about tokens as it was told last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    answers: Arc<Mutex<HashMap<Box<str>, Answer>>>,
    asked: Arc<AtomicUsize>,
}

type Answer = Result<Identity, VerifyError>;

impl Tokens {
    pub(crate) fn set(&self, token: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(token.into(), answer);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Verify for Tokens {
    type Claims = ();

    async fn verify(&self, credential: &Credential) -> Answer {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let answers = self.answers.lock().unwrap();
        let answer = answers.get(credential.expose_secret()).cloned();
        answer.unwrap_or(Err(VerifyError::Invalid))
    }
}

/// Every event, as a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<String>>>);

impl Ledger {
    fn write_down(&self, event: &SessionEvent) {
        let line = match event {
            SessionEvent::Opened(session) => format!("opened {}", session.identity.subject()),
            SessionEvent::Renewed(session) => format!("renewed {}", session.identity.subject()),
            SessionEvent::RenewalRefused { session, why } => {
                format!("refused {}: {why:?}", session.identity.subject())
            }
            SessionEvent::Expiring(session) => format!("expiring {}", session.identity.subject()),
            SessionEvent::Closed {
                session,
                cause,
                lasted,
            } => {
                let (subject, seconds) = (session.identity.subject(), lasted.as_secs());
                format!("closed {subject}: {cause} after {seconds} s")
            }
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// What was written down since the last look.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// How many were opened, and closed.
    pub(crate) fn balance(&self) -> (usize, usize) {
        let count = |word| {
            self.all()
                .iter()
                .filter(|line| line.starts_with(word))
                .count()
        };
        (count("opened"), count("closed"))
    }
}

/// Reads to the end of the socket: the code and the reason of the close frame, or "gone".
pub(crate) async fn end_of(socket: &mut TestSocket) -> String {
    let reading = async {
        let mut end = "gone".to_owned();
        while let Some(Ok(message)) = socket.recv().await {
            if let portcullis::testing::Message::Close(frame) = message {
                end = frame.map_or_else(String::new, |frame| {
                    format!("{} {}", u16::from(frame.code), frame.reason)
                });
            }
        }
        end
    };
    let limit = Duration::from_secs(10);
    let end = tokio::time::timeout(limit, reading).await;
    end.unwrap_or_else(|_| "open".to_owned())
}

/// One handler of each temper.
pub(crate) fn handlers() -> Router {
    Router::new()
        .route("/echo", any(echo))
        .route("/watch", any(watch))
        .route("/asleep", any(asleep))
        .route("/sends", any(sends))
        .route("/reader-parked", any(reader_parked))
        .route("/writer-parked", any(writer_parked))
        .route("/panics", any(panics))
        .route("/leaves", any(leaves))
        .route("/drops", any(drops))
        .route("/answers-otherwise", any(answers_otherwise))
}

/// Echoes, and tells who it is talking to if asked `who`.
async fn echo(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            let answer = match &message {
                Message::Text(text) if text.as_str() == "who" => {
                    let identity = socket.identity();
                    let name = identity.token_id().unwrap_or("unnamed");
                    format!("{} {name}", identity.subject()).into()
                }
                Message::Text(text) if text.as_str() == "id" => {
                    socket.session().id().to_string().into()
                }
                Message::Text(_) | Message::Binary(_) => message,
                _ => continue,
            };
            if socket.send(answer).await.is_err() {
                return;
            }
        }
    })
}

/// Tells of every change of its session.
async fn watch(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let mut changes = socket.session().changes();
        loop {
            let told = tokio::select! {
                change = changes.next() => match change {
                    Some(Change::Renewed(identity)) => {
                        format!("renewed {}", identity.token_id().unwrap_or("unnamed"))
                    }
                    Some(Change::Expiring(after)) => format!("expiring in {} s", after.as_secs()),
                    _ => return,
                },
                message = socket.recv() => match message {
                    Some(Ok(_)) => continue,
                    _ => return,
                },
            };
            if socket.send(told.into()).await.is_err() {
                return;
            }
        }
    })
}

/// Never touches its socket.
async fn asleep(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |socket| {
        pending::<()>().await;
        drop(socket);
    })
}

/// Sends without an end, and reads nothing.
async fn sends(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while socket.send(vec![0; 16 * 1024].into()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

/// Its reader is asleep in a task of its own.
async fn reader_parked(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |socket| {
        let (mut writer, reader) = socket.split();
        tokio::spawn(async move {
            pending::<()>().await;
            drop(reader);
        });
        while writer.send("tick".into()).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
}

/// Its writer is asleep in a task of its own.
async fn writer_parked(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |socket| {
        let (writer, mut reader) = socket.split();
        tokio::spawn(async move {
            pending::<()>().await;
            drop(writer);
        });
        while let Some(Ok(_)) = reader.next().await {}
    })
}

async fn panics(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        socket.recv().await;
        panic!("the handler is broken");
    })
}

async fn leaves(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |_| {})
}

/// Takes the upgrade, and answers something else.
async fn drops(_: GuardedUpgrade) -> Response {
    StatusCode::CONFLICT.into_response()
}

/// Asks for the socket, and answers something else. hyper may hand it over all the same.
async fn answers_otherwise(upgrade: GuardedUpgrade) -> Response {
    drop(upgrade.on_upgrade(async |_| {}));
    StatusCode::CONFLICT.into_response()
}

/// The time of an hour that nobody waits for.
pub(crate) fn far(clock: &FakeClock) -> SystemTime {
    clock.now() + Duration::from_secs(3_600)
}

/// Those that go on until they are ended.
pub(crate) const HANDLERS: [&str; 5] = [
    "/echo",
    "/asleep",
    "/sends",
    "/reader-parked",
    "/writer-parked",
];

/// How far the clocks are turned at once.
const TICK: Duration = Duration::from_millis(100);
