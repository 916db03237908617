//! The ZeroMQ sockets of one kernel.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use zeromq::util::PeerIdentity;
use zeromq::{DealerSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqResult};

use super::connection::Connection;
use super::frames::Signer;
use crate::kernel::clients::{ClientId, Clients};
use crate::wire::{Channel, Message};

/// Relays requests of one client and replies of the kernel until either disconnects.
///
/// Each client has its own sockets, so that the kernel routes replies to the right client. The
/// sockets share one identity, which relates a reply on `stdin` to the request on `shell`.
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
        let reply = tokio::select! {
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
            reply = shell.recv() => reply?,
            reply = control.recv() => reply?,
            reply = stdin.recv() => reply?,
        };
        clients.deliver(client, reply);
    }
}

/// Sends requests to the kernel and receives replies.
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
        wait_for_socket(&path).await;
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

    /// Receives the next reply. Cancel safe.
    pub(super) async fn recv(&mut self) -> ZmqResult<Message> {
        loop {
            match self.signer.unpack(self.channel, self.socket.recv().await?) {
                Some(message) => return Ok(message),
                None => tracing::warn!(
                    channel = self.channel.as_str(),
                    "ignored frames without a valid signature"
                ),
            }
        }
    }
}

/// Receives the output of the kernel.
pub(super) struct Subscriber {
    socket: SubSocket,
    signer: Signer,
}

impl Subscriber {
    pub(super) async fn connect(connection: &Connection) -> ZmqResult<Self> {
        let mut socket = SubSocket::new();
        let path = connection.socket(Channel::Iopub);
        wait_for_socket(&path).await;
        socket.connect(&endpoint(&path)).await?;
        socket.subscribe("").await?;
        Ok(Self {
            socket,
            signer: Signer::new(connection.key()),
        })
    }

    /// Receives the next message. Cancel safe.
    pub(super) async fn recv(&mut self) -> ZmqResult<Message> {
        loop {
            let frames = self.socket.recv().await?;
            match self.signer.unpack(Channel::Iopub, frames) {
                Some(message) => return Ok(message),
                None => tracing::warn!(
                    channel = "iopub",
                    "ignored frames without a valid signature"
                ),
            }
        }
    }
}

/// Waits until a socket exists. The library would also wait, but with exponential backoff.
async fn wait_for_socket(socket: &Path) {
    while !tokio::fs::try_exists(socket).await.unwrap_or(false) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn endpoint(socket: &Path) -> String {
    format!("ipc://{}", socket.display())
}
