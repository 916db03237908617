//! An application with sessions, a clock that tests advance, and a record of its session events.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use portcullis::close::CloseFrame;
use portcullis::session::{SessionEvent, SessionsBuilder};
use portcullis::testing::{FakeClock, Message, TestClient, TestResponse, TestSocket};
use portcullis::{AuthLayer, Identity, Sessions, clock::Clock, ws::renewal_handler};

use super::{HttpVersion, Tokens, handlers};

/// One `Sessions` behind one `AuthLayer`, with a clock that only tests advance.
pub(crate) struct TestServer {
    pub(crate) clock: FakeClock,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
    pub(crate) events: EventLog,
    app: Router,
}

impl TestServer {
    /// Configures the sessions.
    pub(crate) fn new(sessions: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        Self::with_layer(sessions, |auth| auth)
    }

    /// Configures the sessions and the layer.
    pub(crate) fn with_layer(
        sessions: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
        layer: impl FnOnce(AuthLayer<Tokens>) -> AuthLayer<Tokens>,
    ) -> Self {
        Self::with_handlers(handlers(), sessions, layer)
    }

    /// Configures the handlers, the sessions and the layer.
    pub(crate) fn with_handlers(
        handlers: Router,
        sessions: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
        layer: impl FnOnce(AuthLayer<Tokens>) -> AuthLayer<Tokens>,
    ) -> Self {
        let (clock, tokens, events) = (FakeClock::new(), Tokens::default(), EventLog::default());
        let observer = events.clone();
        let builder = Sessions::builder()
            .clock(clock.clone())
            .observe(move |event| observer.record(event));
        let sessions = sessions(builder).build();
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
            events,
            app,
        }
    }

    pub(crate) fn client(&self, version: HttpVersion) -> TestClient {
        version.client(self.app.clone())
    }

    /// An identity of `subject` that is issued now and expires after `lifetime`.
    pub(crate) fn identity(&self, subject: &str, lifetime: Duration) -> Identity {
        Identity::builder(subject)
            .expires_at(self.clock.now() + lifetime)
            .issued_at(self.clock.now())
            .build()
    }

    /// Accepts `token` as `subject` until `lifetime` has passed.
    pub(crate) fn accept(&self, token: &str, subject: &str, lifetime: Duration) {
        self.tokens.set(token, Ok(self.identity(subject, lifetime)));
    }

    /// Opens a socket with `token`.
    pub(crate) async fn open(&self, version: HttpVersion, path: &str, token: &str) -> TestSocket {
        let opened = self.try_open(version, path, token).await;
        let socket = opened.unwrap_or_else(|response| panic!("{path}: {response:?}"));
        // The client may receive the response before the server has the socket.
        settle().await;
        socket
    }

    /// Opens a socket with `token`, or returns the refusal.
    pub(crate) async fn try_open(
        &self,
        version: HttpVersion,
        path: &str,
        token: &str,
    ) -> Result<TestSocket, TestResponse> {
        let handshake = self.client(version).websocket(path).bearer(token);
        handshake.connect().await
    }

    /// Advances the wall clock and tokio's clock together.
    pub(crate) async fn advance(&self, time: Duration) {
        let mut remaining = time;
        while !remaining.is_zero() {
            let step = remaining.min(TICK);
            self.clock.advance(step);
            tokio::time::sleep(step).await;
            remaining -= step;
        }
    }

    /// Checks that the sessions that were opened and not closed are those that are counted.
    pub(crate) fn assert_counts_match(&self) {
        let (opened, closed) = self.events.opened_and_closed();
        let events = self.events.all();
        assert_eq!(opened - closed, self.sessions.len(), "{events:?}");
        assert_eq!(self.sessions.list().len(), self.sessions.len());
    }
}

/// Runs every task until it waits, on tokio's paused clock.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Every session event as a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventLog(Arc<Mutex<Vec<String>>>);

impl EventLog {
    fn record(&self, event: &SessionEvent) {
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

    /// Removes and returns the events so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn last(&self) -> String {
        self.all().pop().unwrap_or_default()
    }

    /// The number of sessions that were opened, and of those that were closed.
    pub(crate) fn opened_and_closed(&self) -> (usize, usize) {
        let count = |word| {
            let lines = self.all();
            lines.iter().filter(|line| line.starts_with(word)).count()
        };
        (count("opened"), count("closed"))
    }
}

/// Reads until the socket ends and returns the code and the reason of the close frame.
///
/// Returns `eof` without a close frame, and `open` if the socket is open after ten seconds.
pub(crate) async fn wait_for_close(socket: &mut TestSocket) -> String {
    let reading = async {
        let mut end = "eof".to_owned();
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Close(frame) = message {
                end = frame.as_ref().map(describe_close).unwrap_or_default();
            }
        }
        end
    };
    let end = tokio::time::timeout(Duration::from_secs(10), reading).await;
    end.unwrap_or_else(|_| "open".to_owned())
}

/// The code and the reason of a close frame.
pub(crate) fn describe_close(frame: &CloseFrame) -> String {
    format!("{} {}", frame.code(), frame.reason())
}

/// The largest step by which the clocks advance.
const TICK: Duration = Duration::from_millis(100);
