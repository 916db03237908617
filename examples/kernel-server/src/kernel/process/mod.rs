//! A kernel that is a process of its own, spoken to over ZeroMQ.

mod command;
mod connection;
mod frames;
mod listener;
mod sockets;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use zeromq::ZmqResult;
use zeromq::util::PeerIdentity;

use self::connection::Connection;
use self::listener::Listener;
use self::sockets::Dealer;
use super::clients::{ClientId, Clients};
use super::life::{Endpoint, News};
use super::output::Output;
use super::spec::{Installed, InterruptMode};
use crate::wire::{Channel, Message};

/// How long a kernel may take until it answers for the first time.
const START: Duration = Duration::from_secs(60);

/// How long a kernel may take to answer us on `control`.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a kernel may take to end: after it was asked to, and after it was told to.
const ASKED: Duration = Duration::from_secs(3);
const TOLD: Duration = Duration::from_secs(2);

/// One process, from its start to its end.
#[derive(Debug)]
pub(super) struct ProcessLife {
    child: Child,
    /// The kernel's process group, to which the processes it starts belong as well.
    group: Option<Pid>,
    connection: Arc<Connection>,
    listener: Listener,
    interrupt_mode: InterruptMode,
    ready: bool,
    deadline: Instant,
}

impl ProcessLife {
    pub(super) fn start(name: &str, spec: &Installed, output: Output) -> io::Result<Self> {
        let connection = Arc::new(Connection::create(name)?);
        let child = command::of(spec, &connection.file())?.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        tracing::info!(kernel = name, pid = id, "started a process");
        Ok(Self {
            child,
            group: id.and_then(Pid::from_raw),
            listener: Listener::start(Arc::clone(&connection), output),
            connection,
            interrupt_mode: spec.interrupt_mode,
            ready: false,
            deadline: Instant::now() + START,
        })
    }

    /// What happens next of its own accord. Cancel safe.
    pub(super) async fn news(&mut self) -> News {
        let why = tokio::select! {
            ended = self.child.wait() => match ended {
                Ok(status) => format!("the kernel's process ended: {status}"),
                Err(error) => format!("the kernel's process is out of sight: {error}"),
            },
            answered = self.listener.answered(), if !self.ready => match answered {
                Ok(()) => {
                    self.ready = true;
                    return News::Ready(Endpoint::Process(Remote(Arc::clone(&self.connection))));
                }
                Err(why) => format!("the kernel cannot be spoken to: {why}"),
            },
            () = sleep_until(self.deadline), if !self.ready => {
                format!("the kernel did not answer within {} s", START.as_secs())
            }
        };
        self.finish().await;
        News::Ended(why)
    }

    /// Asks the running code to stop.
    pub(super) async fn interrupt(&self) -> Result<(), String> {
        match self.interrupt_mode {
            InterruptMode::Signal => {
                self.signal(Signal::INT);
                Ok(())
            }
            InterruptMode::Message => {
                let interrupt = async {
                    let mut control = self.ask("interrupt_request", json!({})).await?;
                    control.recv().await
                };
                match timeout(ANSWER, interrupt).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("the kernel does not answer".to_owned()),
                }
            }
        }
    }

    /// Ends the kernel for certain: asks, then tells, then makes it.
    pub(super) async fn stop(&mut self, restart: bool) {
        let asked = match self.ready {
            true => {
                let request = self.ask("shutdown_request", json!({"restart": restart}));
                // Kept until the process ends: the request leaves through this socket.
                let _control = timeout(ANSWER, request).await;
                timeout(ASKED, self.child.wait()).await.is_ok()
            }
            false => false,
        };
        if !asked {
            self.signal(Signal::TERM);
            let _ = timeout(TOLD, self.child.wait()).await;
        }
        self.finish().await;
    }

    /// Leaves nothing behind: not the process, not what it started, not what it said last.
    async fn finish(&mut self) {
        // The group outlives its leader for as long as somebody is in it, and its number is not
        // given away before that.
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
        self.group = None;
        self.listener.finish().await;
    }

    async fn ask(&self, msg_type: &str, content: serde_json::Value) -> ZmqResult<Dealer> {
        let identity = PeerIdentity::new();
        let mut control = Dealer::connect(&self.connection, Channel::Control, &identity).await?;
        let message = Message::new(Channel::Control, msg_type, "server", None, &content);
        control.send(message).await?;
        Ok(control)
    }

    /// A group without anybody left is none of our business.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

/// A server that panics still leaves no process behind. A server that is killed cannot do this:
/// then the kernel finds out by itself, from `JPY_PARENT_PID`.
impl Drop for ProcessLife {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The way to a process that answers.
#[derive(Clone, Debug)]
pub(super) struct Remote(Arc<Connection>);

impl Remote {
    /// Relays between a client and the kernel until one of them is gone.
    pub(super) async fn relay(
        &self,
        requests: &mut mpsc::Receiver<Message>,
        client: ClientId,
        clients: &Clients,
    ) {
        if let Err(error) = sockets::relay(&self.0, requests, client, clients).await {
            tracing::debug!(%error, "lost the way to a kernel");
        }
    }
}
