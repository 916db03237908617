//! The servers, each in a process of its own. They do what they are told on their input, a line for
//! each order and a line for each answer, and end with it.

use std::error::Error;
use std::future::pending;
use std::io::BufRead;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use clap::{Args, ValueEnum};
use portcullis::dialect::{Conversation, Dialect, FirstMessage};
use portcullis::verify::StaticToken;
use portcullis::{AuthLayer, GuardedSocket, GuardedUpgrade, Revocation, Sessions, StaticTokens};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

use super::allow_open_files;

/// What a server is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Setup {
    /// What opens its sockets.
    pub(super) kind: Kind,

    /// What it does with them.
    #[arg(default_value = "echoes")]
    pub(super) handler: Handler,

    /// When its tokens end, in milliseconds since 1970.
    #[arg(long)]
    pub(super) ends_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// axum's `WebSocketUpgrade` with the buffers of `GuardedUpgrade`.
    Bare,

    /// `AuthLayer` and `GuardedUpgrade`.
    Guarded,

    /// The same, for clients that say in their first message who they are.
    Pending,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Handler {
    /// It sends back what it reads.
    Echoes,

    /// It holds its socket and never looks at it.
    Sleeps,
}

impl Kind {
    /// A server of this kind that echoes, and whose tokens do not end.
    pub(super) fn echoing(self) -> Setup {
        Setup {
            kind: self,
            handler: Handler::Echoes,
            ends_at: None,
        }
    }
}

/// A name for a subject, and its token.
pub(super) fn user(number: usize) -> (String, String) {
    (format!("user-{number}"), format!("token-{number:042}"))
}

/// So many subjects a server knows.
pub(super) const USERS: usize = 200;

/// How long a pending socket may stay so: long enough that all of them are there at once.
pub(super) const PENDING_LIMIT: Duration = Duration::from_secs(20);

/// Serves on a port of the system's choice, which it prints, until its input ends.
pub(crate) fn serve(setup: &Setup) -> Result<(), Box<dyn Error>> {
    allow_open_files()?;
    let orders = orders();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sessions = Sessions::builder().build();
        // Every server waits for some time or other, and a runtime that has none to keep is faster.
        tokio::spawn(async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let router = setup.router(&sessions)?;
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener = socket.listen(1024)?;
        println!("{}", listener.local_addr()?);
        tokio::select! {
            served = axum::serve(listener, router) => Ok(served?),
            obeyed = obey(orders, &sessions) => obeyed,
        }
    })
}

impl Setup {
    fn router(&self, sessions: &Sessions) -> Result<Router, Box<dyn Error>> {
        let ends_at = self.ends_at.map(Duration::from_millis);
        let tokens = (0..USERS).map(|number| {
            let (name, token) = user(number);
            let token = StaticToken::new(name, token)?;
            Ok(match ends_at {
                Some(end) => token.expires_at(SystemTime::UNIX_EPOCH + end),
                None => token,
            })
        });
        let tokens: Result<Vec<_>, portcullis::verify::StaticTokenError> = tokens.collect();
        let auth = AuthLayer::new(StaticTokens::new(tokens?)?).sessions(sessions);
        let route = Router::new();
        Ok(match (self.kind, self.handler) {
            (Kind::Bare, Handler::Echoes) => route.route("/ws", any(bare_echoes)),
            (Kind::Bare, Handler::Sleeps) => route.route("/ws", any(bare_sleeps)),
            (Kind::Guarded, Handler::Echoes) => {
                route.route("/ws", any(guarded_echoes)).route_layer(auth)
            }
            (Kind::Guarded, Handler::Sleeps) => {
                route.route("/ws", any(guarded_sleeps)).route_layer(auth)
            }
            (Kind::Pending, _) => route.route("/ws", any(greets)).route_layer(
                auth.dialect(Patient(FirstMessage::token()))
                    .pending_limits(10_000, 10_000),
            ),
        })
    }
}

/// The first message is the token, and takes its time.
#[derive(Debug)]
struct Patient(FirstMessage);

impl Dialect for Patient {
    fn begin(&self, admitted: bool) -> Box<dyn Conversation> {
        self.0.begin(admitted)
    }

    fn time_limit(&self) -> Duration {
        PENDING_LIMIT
    }
}

/// The lines of the input. They end when whoever gives the orders has ended.
fn orders() -> mpsc::UnboundedReceiver<String> {
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        for line in lines {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    orders
}

async fn obey(
    mut orders: mpsc::UnboundedReceiver<String>,
    sessions: &Sessions,
) -> Result<(), Box<dyn Error>> {
    while let Some(order) = orders.recv().await {
        match order.split_once(' ').unwrap_or((&order, "")) {
            ("revoke", "everything") => {
                println!("{}", sessions.revoke(Revocation::everything()).await?);
            }
            ("revoke", subject) => {
                println!("{}", sessions.revoke(Revocation::subject(subject)).await?);
            }
            ("count", _) => println!("{}", sessions.len()),
            ("empty", _) => {
                while !sessions.is_empty() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                println!("0");
            }
            _ => return Err(format!("what is “{order}”?").into()),
        }
    }
    Ok(())
}

async fn bare_echoes(upgrade: WebSocketUpgrade) -> Response {
    small(upgrade).on_upgrade(echo_bare)
}

async fn bare_sleeps(upgrade: WebSocketUpgrade) -> Response {
    small(upgrade).on_upgrade(sleeps::<WebSocket>)
}

async fn guarded_echoes(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(echo_guarded)
}

async fn guarded_sleeps(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(sleeps::<GuardedSocket>)
}

async fn greets(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        if socket.send("hello".into()).await.is_ok() {
            echo_guarded(socket).await;
        }
    })
}

/// With what `GuardedUpgrade` has by itself.
fn small(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * 1024 * 1024)
        .max_message_size(1024 * 1024)
        .max_frame_size(1024 * 1024)
}

/// The same text for both sockets: they have the same methods.
macro_rules! echoes {
    ($name:ident, $socket:ty) => {
        async fn $name(mut socket: $socket) {
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        }
    };
}

echoes!(echo_bare, WebSocket);
echoes!(echo_guarded, GuardedSocket);

async fn sleeps<S>(socket: S) {
    pending::<()>().await;
    drop(socket);
}
