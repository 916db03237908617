//! ZeroMQ sockets to one kernel.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use zeromq::util::PeerIdentity;
use zeromq::{DealerSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqResult};

use super::connection::Connection;
use super::frames::Signer;
use crate::kernel::clients::{ClientId, Clients};
use crate::wire::{Channel, Message};

/// Relays what one client says and what the kernel answers, until either is gone.
///
/// Each client has sockets of its own, so that the kernel itself tells whose an answer is. The
/// kernel knows the client by the same identity on all of them: an answer to a question on
/// `stdin` finds the request on `shell` that asked.
pub(super) async fn relay(
    connection: &Connection,
    requests: &mut mpsc::Receiver<Message>,
    client: ClientId,
    clients: &Clients,
) -> ZmqResult<()> {
    let identity = PeerIdentity::new();
    let mut shell = Dealer::connect(connection, Channel::Shell, &identity).await?;
    let mut control = Dealer::connect(connection, Channel::Control, &identity).await?;
    let mut stdin = Dealer::connect(connection, Channel::Stdin, &identity).await?;
    loop {
        let answer = tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else { return Ok(()) };
                match request.channel {
                    Channel::Shell => shell.send(request).await?,
                    Channel::Control => control.send(request).await?,
                    Channel::Stdin => stdin.send(request).await?,
                    Channel::Iopub => tracing::debug!("ignored a message to iopub"),
                }
                continue;
            }
            answer = shell.recv() => answer?,
            answer = control.recv() => answer?,
            answer = stdin.recv() => answer?,
        };
        clients.deliver(client, answer);
    }
}

/// Asks the kernel.
pub(super) struct Dealer {
    socket: DealerSocket,
    signer: Signer,
    channel: Channel,
}

impl Dealer {
    pub(super) async fn connect(
        connection: &Connection,
        channel: Channel,
        identity: &PeerIdentity,
    ) -> ZmqResult<Self> {
        let mut options = SocketOptions::default();
        options.peer_identity(identity.clone());
        let mut socket = DealerSocket::with_options(options);
        let path = connection.socket(channel);
        listening(&path).await;
        socket.connect(&endpoint(&path)).await?;
        Ok(Self {
            socket,
            signer: Signer::new(connection.key()),
            channel,
        })
    }

    pub(super) async fn send(&mut self, message: Message) -> ZmqResult<()> {
        self.socket.send(self.signer.pack(message)).await
    }

    /// The next answer. Cancel safe.
    pub(super) async fn recv(&mut self) -> ZmqResult<Message> {
        loop {
            match self.signer.unpack(self.channel, self.socket.recv().await?) {
                Some(message) => return Ok(message),
                None => tracing::warn!(channel = self.channel.as_str(), "ignored unsigned frames"),
            }
        }
    }
}

/// Hears everything that the kernel tells everybody.
pub(super) struct Subscriber {
    socket: SubSocket,
    signer: Signer,
}

impl Subscriber {
    pub(super) async fn connect(connection: &Connection) -> ZmqResult<Self> {
        let mut socket = SubSocket::new();
        let path = connection.socket(Channel::Iopub);
        listening(&path).await;
        socket.connect(&endpoint(&path)).await?;
        socket.subscribe("").await?;
        Ok(Self {
            socket,
            signer: Signer::new(connection.key()),
        })
    }

    /// The next message. Cancel safe.
    pub(super) async fn recv(&mut self) -> ZmqResult<Message> {
        loop {
            let frames = self.socket.recv().await?;
            match self.signer.unpack(Channel::Iopub, frames) {
                Some(message) => return Ok(message),
                None => tracing::warn!(channel = "iopub", "ignored unsigned frames"),
            }
        }
    }
}

/// Waits for a socket to exist. The library would too, but with delays that double.
async fn listening(socket: &Path) {
    while !tokio::fs::try_exists(socket).await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn endpoint(socket: &Path) -> String {
    format!("ipc://{}", socket.display())
}
