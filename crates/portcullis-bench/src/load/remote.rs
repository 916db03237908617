//! A server process, controlled through its input and output.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, Command};
use std::time::Instant;

use clap::ValueEnum;
use tokio::sync::mpsc;

use super::server::{Handler, Kind, Setup, user};
use crate::client::Target;
use crate::process::Server;

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Remote {
    server: Server,
    input: ChildStdin,
    responses: mpsc::UnboundedReceiver<(Instant, String)>,
    address: SocketAddr,
}

impl Remote {
    /// Starts a server with tokens that do not expire.
    pub(super) async fn start(kind: Kind, handler: Handler) -> io::Result<Self> {
        Self::start_as(&Setup {
            kind,
            handler,
            ends_at: None,
        })
        .await
    }

    /// Starts a server.
    pub(super) async fn start_as(setup: &Setup) -> io::Result<Self> {
        Self::start_with(&mut Command::new(std::env::current_exe()?), setup).await
    }

    /// Starts a server with `command`, which is this program or runs it.
    pub(super) async fn start_with(command: &mut Command, setup: &Setup) -> io::Result<Self> {
        let (server, input, output) = Server::start_with_pipes(command.args(setup.arguments()))?;
        let (sender, mut responses) = mpsc::unbounded_channel();
        // A separate thread, so that the clients do not delay the time of a response.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        let (_, address) = next(&mut responses).await?;
        Ok(Self {
            server,
            input,
            responses,
            address: address.parse().map_err(io::Error::other)?,
        })
    }

    /// Returns a handshake with the token of a user.
    pub(super) fn target(&self, number: usize) -> Target {
        let (_, token) = user(number);
        let header = format!("authorization: Bearer {token}\r\n");
        Target::new(self.address, "/ws", &header)
    }

    /// Returns a handshake without a token.
    pub(super) fn anonymous(&self) -> Target {
        Target::new(self.address, "/ws", "")
    }

    /// Sends a command, and returns the current time.
    pub(super) fn send(&mut self, command: &str) -> io::Result<Instant> {
        let now = Instant::now();
        self.input.write_all(format!("{command}\n").as_bytes())?;
        Ok(now)
    }

    /// Receives the response to the next command: a number, and the time of its arrival.
    pub(super) async fn receive(&mut self) -> io::Result<(Instant, usize)> {
        let (when, line) = next(&mut self.responses).await?;
        Ok((when, line.parse().map_err(io::Error::other)?))
    }

    /// Returns the resident memory in bytes.
    pub(super) fn resident(&self) -> io::Result<f64> {
        Ok(self.server.resident_kib()? * 1024.0)
    }

    /// Returns the CPU time in seconds.
    pub(super) fn cpu_seconds(&self) -> io::Result<f64> {
        self.server.cpu_seconds()
    }

    /// Returns whether the server has loaded a library.
    pub(super) fn has_loaded(&self, library: &str) -> io::Result<bool> {
        self.server.has_loaded(library)
    }

    /// Stops the server.
    pub(super) fn terminate(self) -> io::Result<()> {
        self.server.terminate()
    }
}

impl Setup {
    fn arguments(&self) -> Vec<String> {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let mut arguments = vec![
            "serve-load".to_owned(),
            name(self.kind.to_possible_value()),
            name(self.handler.to_possible_value()),
        ];
        arguments.extend(self.ends_at.map(|end| format!("--ends-at={end}")));
        arguments
    }
}

async fn next(
    responses: &mut mpsc::UnboundedReceiver<(Instant, String)>,
) -> io::Result<(Instant, String)> {
    let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the server has ended");
    responses.recv().await.ok_or_else(ended)
}
