//! A kernel that runs as a separate process and communicates over ZeroMQ.

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
use super::instance::{Endpoint, InstanceEvent};
use super::output::Output;
use super::spec::{Installed, InterruptMode};
use crate::wire::{Channel, Message};

/// How long a kernel may take until it answers requests.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a kernel may take to answer a request on `control`.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a kernel may take to end after `shutdown_request`, and after SIGTERM.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
const TERM_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct ProcessInstance {
    child: Child,
    /// The process group of the kernel and of the processes that it starts.
    group: Option<Pid>,
    connection: Arc<Connection>,
    listener: Listener,
    interrupt_mode: InterruptMode,
    ready: bool,
    deadline: Instant,
}

impl ProcessInstance {
    pub(super) fn start(name: &str, spec: &Installed, output: Output) -> io::Result<Self> {
        let connection = Arc::new(Connection::create(name)?);
        let child = command::build(spec, &connection.file())?.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        tracing::info!(kernel = name, pid = id, "started a kernel process");
        Ok(Self {
            child,
            group: id.and_then(Pid::from_raw),
            listener: Listener::start(Arc::clone(&connection), output),
            connection,
            interrupt_mode: spec.interrupt_mode,
            ready: false,
            deadline: Instant::now() + START_TIMEOUT,
        })
    }

    /// Waits for the next event. Cancel safe.
    pub(super) async fn next_event(&mut self) -> InstanceEvent {
        let reason = tokio::select! {
            ended = self.child.wait() => match ended {
                Ok(status) => format!("the kernel's process ended: {status}"),
                Err(error) => format!("cannot wait for the kernel's process: {error}"),
            },
            ready = self.listener.ready(), if !self.ready => match ready {
                Ok(()) => {
                    self.ready = true;
                    let endpoint = ProcessEndpoint(Arc::clone(&self.connection));
                    return InstanceEvent::Ready(Endpoint::Process(endpoint));
                }
                Err(error) => format!("cannot communicate with the kernel: {error}"),
            },
            () = sleep_until(self.deadline), if !self.ready => {
                format!("the kernel did not answer within {} s", START_TIMEOUT.as_secs())
            }
        };
        self.finish().await;
        InstanceEvent::Ended(reason)
    }

    /// Interrupts the running code.
    pub(super) async fn interrupt(&self) -> Result<(), String> {
        match self.interrupt_mode {
            InterruptMode::Signal => {
                self.signal(Signal::INT);
                Ok(())
            }
            InterruptMode::Message => {
                let interrupt = async {
                    let mut control = self.request("interrupt_request", json!({})).await?;
                    control.recv().await
                };
                match timeout(CONTROL_TIMEOUT, interrupt).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("the kernel does not answer".to_owned()),
                }
            }
        }
    }

    /// Ends the kernel: with `shutdown_request`, then SIGTERM, then SIGKILL.
    pub(super) async fn stop(&mut self, restart: bool) {
        let has_ended = match self.ready {
            true => {
                let request = self.request("shutdown_request", json!({"restart": restart}));
                // Kept until the process ends, because the request is sent through this socket.
                let _control = timeout(CONTROL_TIMEOUT, request).await;
                timeout(SHUTDOWN_TIMEOUT, self.child.wait()).await.is_ok()
            }
            false => false,
        };
        if !has_ended {
            self.signal(Signal::TERM);
            let _ = timeout(TERM_TIMEOUT, self.child.wait()).await;
        }
        self.finish().await;
    }

    /// Kills the remaining processes and publishes the remaining output.
    async fn finish(&mut self) {
        // The group exists, and its id is not reused, until its last process has ended.
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
        self.group = None;
        self.listener.finish().await;
    }

    async fn request(&self, msg_type: &str, content: serde_json::Value) -> ZmqResult<Dealer> {
        let identity = PeerIdentity::new();
        let mut control = Dealer::connect(&self.connection, Channel::Control, &identity).await?;
        let message = Message::new(Channel::Control, msg_type, "server", None, &content);
        control.send(message).await?;
        Ok(control)
    }

    /// Signals the process group. Ignores the error if all its processes have ended.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Kills the processes even if the server panics. If the server is killed, the kernel notices by
/// `JPY_PARENT_PID`.
impl Drop for ProcessInstance {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Relays messages between clients and the process.
#[derive(Clone, Debug)]
pub(super) struct ProcessEndpoint(Arc<Connection>);

impl ProcessEndpoint {
    /// Relays messages between a client and the kernel until one of them disconnects.
    pub(super) async fn relay(
        &self,
        requests: &mut mpsc::Receiver<Message>,
        client: ClientId,
        clients: &Clients,
    ) {
        if let Err(error) = sockets::relay(&self.0, requests, client, clients).await {
            tracing::debug!(%error, "cannot relay messages to a kernel");
        }
    }
}
