//! A server process, from the outside.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, Command};
use std::time::Instant;

use clap::ValueEnum;
use tokio::sync::mpsc;

use super::server::{Handler, Kind, Setup, user};
use crate::client::Target;
use crate::process::Server;

/// A running server, and the lines that go to it and come from it. It ends with this.
#[derive(Debug)]
pub(super) struct Remote {
    server: Server,
    input: ChildStdin,
    answers: mpsc::UnboundedReceiver<(Instant, String)>,
    address: SocketAddr,
}

impl Remote {
    /// Starts a server.
    pub(super) async fn start(kind: Kind, handler: Handler) -> io::Result<Self> {
        Self::start_as(&Setup {
            kind,
            handler,
            ends_at: None,
        })
        .await
    }

    pub(super) async fn start_as(setup: &Setup) -> io::Result<Self> {
        Self::start_with(&mut Command::new(std::env::current_exe()?), setup).await
    }

    /// Starts a server by `command`, which is our own program or runs it.
    pub(super) async fn start_with(command: &mut Command, setup: &Setup) -> io::Result<Self> {
        let (server, input, output) = Server::start_with_pipes(command.args(setup.arguments()))?;
        let (sender, mut answers) = mpsc::unbounded_channel();
        // Takes the time of an answer, whatever the clients have to do at that moment.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        let (_, address) = next(&mut answers).await?;
        Ok(Self {
            server,
            input,
            answers,
            address: address.parse().map_err(io::Error::other)?,
        })
    }

    /// A handshake as this user.
    pub(super) fn target(&self, number: usize) -> Target {
        let (_, token) = user(number);
        let header = format!("authorization: Bearer {token}\r\n");
        Target::new(self.address, "/ws", &header)
    }

    /// A handshake as nobody.
    pub(super) fn anonymous(&self) -> Target {
        Target::new(self.address, "/ws", "")
    }

    /// Gives an order; when that was.
    pub(super) fn tell(&mut self, order: &str) -> io::Result<Instant> {
        let now = Instant::now();
        self.input.write_all(format!("{order}\n").as_bytes())?;
        Ok(now)
    }

    /// The number that answers the next order, and when it came.
    pub(super) async fn answer(&mut self) -> io::Result<(Instant, usize)> {
        let (when, line) = next(&mut self.answers).await?;
        Ok((when, line.parse().map_err(io::Error::other)?))
    }

    /// The memory that it has in use, in bytes.
    pub(super) fn resident(&self) -> io::Result<f64> {
        Ok(self.server.resident_kib()? * 1024.0)
    }

    /// The time that it has spent on the processor, in seconds.
    pub(super) fn cpu_seconds(&self) -> io::Result<f64> {
        self.server.cpu_seconds()
    }

    /// Whether it runs with this library.
    pub(super) fn has_loaded(&self, library: &str) -> io::Result<bool> {
        self.server.has_loaded(library)
    }

    /// Ends it.
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
    answers: &mut mpsc::UnboundedReceiver<(Instant, String)>,
) -> io::Result<(Instant, String)> {
    let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the server has ended");
    answers.recv().await.ok_or_else(ended)
}
