//! The servers of the load tests. Each is a process that reads commands from its input, one for each
//! line, writes one line in response, and ends with its input.

use std::error::Error;
use std::future::pending;
use std::io::BufRead;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use clap::{Args, ValueEnum};
use portcullis::dialect::{Conversation, Dialect, FirstMessage, PendingLimits};
use portcullis::session::Revocation;
use portcullis::verify::{StaticToken, StaticTokenError};
use portcullis::{AuthLayer, GuardedSocket, GuardedUpgrade, Sessions, StaticTokens};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

use super::allow_open_files;

/// The settings of a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct Setup {
    /// The layer and the type of the sockets.
    pub(super) kind: Kind,

    /// The handler of the sockets.
    #[arg(default_value = "echo")]
    pub(super) handler: Handler,

    /// The expiry of the tokens, in milliseconds since 1970.
    #[arg(long)]
    pub(super) ends_at: Option<u64>,
}

/// The layer of a server and the type of its sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// `WebSocketUpgrade` of axum with the buffers of `GuardedUpgrade`.
    Bare,

    /// `AuthLayer` and `GuardedUpgrade`.
    Guarded,

    /// `AuthLayer` and `GuardedUpgrade`, for clients that authenticate in their first message.
    Pending,
}

/// The handler of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Handler {
    /// Sends every message back.
    Echo,

    /// Keeps the socket and never reads from it.
    Sleep,
}

impl Kind {
    /// Returns the settings of an echo server with tokens that do not expire.
    pub(super) fn echoing(self) -> Setup {
        Setup {
            kind: self,
            handler: Handler::Echo,
            ends_at: None,
        }
    }
}

/// Returns the name and the token of a user.
pub(super) fn user(number: usize) -> (String, String) {
    (format!("user-{number}"), format!("token-{number:042}"))
}

/// The number of users.
pub(super) const USERS: usize = 200;

/// The time limit for pending sockets, long enough to have all of them open at once.
pub(super) const PENDING_LIMIT: Duration = Duration::from_secs(20);

/// Serves on a free port, which it prints, until its input ends.
pub(crate) fn serve(setup: &Setup) -> Result<(), Box<dyn Error>> {
    allow_open_files()?;
    let commands = commands();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sessions = Sessions::builder().build();
        // A runtime without timers is faster, but every real server has some.
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
            result = execute(commands, &sessions) => result,
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
        let tokens: Result<Vec<_>, StaticTokenError> = tokens.collect();
        let auth = AuthLayer::new(StaticTokens::new(tokens?)?).sessions(sessions);
        let route = Router::new();
        Ok(match (self.kind, self.handler) {
            (Kind::Bare, Handler::Echo) => route.route("/ws", any(bare_echo)),
            (Kind::Bare, Handler::Sleep) => route.route("/ws", any(bare_sleep)),
            (Kind::Guarded, Handler::Echo) => {
                route.route("/ws", any(guarded_echo)).route_layer(auth)
            }
            (Kind::Guarded, Handler::Sleep) => {
                route.route("/ws", any(guarded_sleep)).route_layer(auth)
            }
            (Kind::Pending, _) => route.route("/ws", any(greet)).route_layer(
                auth.dialect(SlowFirstMessage(FirstMessage::token()))
                    .pending_limits(PendingLimits::default().total(10_000).per_address(10_000)),
            ),
        })
    }
}

/// The token as the first message, with a longer time limit.
#[derive(Debug)]
struct SlowFirstMessage(FirstMessage);

impl Dialect for SlowFirstMessage {
    fn begin(&self, admitted: bool) -> Box<dyn Conversation> {
        self.0.begin(admitted)
    }

    fn time_limit(&self) -> Duration {
        PENDING_LIMIT
    }
}

/// Returns the lines of the input. They end with the controlling process.
fn commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        for line in lines {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    commands
}

async fn execute(
    mut commands: mpsc::UnboundedReceiver<String>,
    sessions: &Sessions,
) -> Result<(), Box<dyn Error>> {
    while let Some(command) = commands.recv().await {
        match command.split_once(' ').unwrap_or((&command, "")) {
            ("revoke", "everything") => {
                println!("{}", sessions.revoke(Revocation::everything()).await?);
            }
            ("revoke", subject) => {
                println!(
                    "{}",
                    sessions.revoke(Revocation::subject(None, subject)).await?
                );
            }
            ("count", _) => println!("{}", sessions.len()),
            ("empty", _) => {
                while !sessions.is_empty() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                println!("0");
            }
            _ => return Err(format!("unknown command: {command}").into()),
        }
    }
    Ok(())
}

async fn bare_echo(upgrade: WebSocketUpgrade) -> Response {
    small(upgrade).on_upgrade(echo_bare)
}

async fn bare_sleep(upgrade: WebSocketUpgrade) -> Response {
    small(upgrade).on_upgrade(sleep_with::<WebSocket>)
}

async fn guarded_echo(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(echo_guarded)
}

async fn guarded_sleep(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(sleep_with::<GuardedSocket>)
}

async fn greet(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        if socket.send("hello".into()).await.is_ok() {
            echo_guarded(socket).await;
        }
    })
}

/// Sets the buffers of `GuardedUpgrade`.
fn small(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * 1024 * 1024)
        .max_message_size(1024 * 1024)
        .max_frame_size(1024 * 1024)
}

/// The same code for both sockets, which have the same methods.
macro_rules! echo {
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

echo!(echo_bare, WebSocket);
echo!(echo_guarded, GuardedSocket);

async fn sleep_with<S>(socket: S) {
    pending::<()>().await;
    drop(socket);
}
