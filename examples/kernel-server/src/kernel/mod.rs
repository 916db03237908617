//! Kernels, which run the code of notebooks.
//!
//! ```text
//! Kernels ─▶ Kernel ─▶ Supervisor ─▶ Instance ─┬▶ process   (ZeroMQ)
//!              │                               └▶ embedded  (a thread)
//!              └─ attach ─▶ Attachment: a sender for requests and an inbox
//! ```

mod clients;
mod embedded;
mod instance;
mod output;
mod process;
mod registry;
mod spec;
mod status;
mod supervisor;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

pub(crate) use self::clients::{ClientKey, CloseReason, Inbox};
pub(crate) use self::registry::Kernels;
pub(crate) use self::spec::{Choice, KernelSpec, KernelSpecs};

use self::clients::Clients;
use self::instance::Instance;
use self::output::Output;
use self::status::Status;
use self::supervisor::{Command, Phase, Supervisor};
use crate::events::{Action, Events};
use crate::wire::{Message, timestamp};

pub(crate) type KernelId = Uuid;

/// How many requests of one client may be queued. When the queue is full, the socket is not read.
const REQUEST_QUEUE: usize = 64;

/// A kernel, running or dead. It keeps its id and its clients across restarts.
#[derive(Debug)]
pub(crate) struct Kernel {
    id: KernelId,
    name: String,
    clients: Arc<Clients>,
    status: Arc<Status>,
    phase: watch::Receiver<Phase>,
    commands: mpsc::Sender<Command>,
}

/// The representation of a kernel in the REST API.
#[derive(Debug, Serialize)]
pub(crate) struct KernelModel {
    pub(crate) id: KernelId,
    pub(crate) name: String,
    pub(crate) last_activity: String,
    pub(crate) execution_state: String,
    pub(crate) connections: usize,
}

impl Kernel {
    /// Starts a kernel. Returns before the kernel answers requests.
    fn start(spec: KernelSpec, events: Events) -> io::Result<Self> {
        let id = Uuid::new_v4();
        let output = Output {
            clients: Arc::default(),
            status: Arc::new(Status::new()),
        };
        let instance = Instance::start(&spec, output.clone())?;
        let (phase, phase_receiver) = watch::channel(Phase::Starting);
        let (sender, commands) = mpsc::channel(8);
        events.publish(Action::Start, id, &spec.name, None);
        let kernel = Self {
            id,
            name: spec.name.clone(),
            clients: Arc::clone(&output.clients),
            status: Arc::clone(&output.status),
            phase: phase_receiver,
            commands: sender,
        };
        let supervisor = Supervisor {
            id,
            spec,
            instance: Some(instance),
            output,
            phase,
            commands,
            events,
            pending_restarts: Vec::new(),
        };
        tokio::spawn(supervisor.run());
        Ok(kernel)
    }

    pub(crate) fn id(&self) -> KernelId {
        self.id
    }

    pub(crate) fn model(&self) -> KernelModel {
        KernelModel {
            id: self.id,
            name: self.name.clone(),
            last_activity: timestamp(self.last_activity()),
            execution_state: self.status.execution_state(),
            connections: self.connections(),
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn last_activity(&self) -> SystemTime {
        self.status.last_activity()
    }

    /// Interrupts the running code. The kernel keeps its state.
    pub(crate) async fn interrupt(&self) -> Result<(), KernelError> {
        self.command(Command::Interrupt).await?
    }

    /// Restarts a running or dead kernel. Returns when the kernel answers requests.
    pub(crate) async fn restart(&self) -> Result<(), KernelError> {
        self.command(Command::Restart).await?
    }

    /// Ends the kernel and closes the sockets of its clients. Returns when the kernel has ended.
    async fn shutdown(&self, reason: CloseReason) {
        // An error means that the kernel has already ended.
        let _ = self.command(|done| Command::Shutdown(reason, done)).await;
    }

    /// Connects a client to the kernel, and disconnects an older one with the same key.
    pub(crate) fn attach(&self, key: ClientKey) -> Attachment {
        let inbox = self.clients.join(key);
        let (sender, requests) = mpsc::channel(REQUEST_QUEUE);
        let clients = Arc::clone(&self.clients);
        tokio::spawn(relay(requests, inbox.id(), self.phase.clone(), clients));
        Attachment {
            requests: sender,
            inbox,
        }
    }

    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, KernelError> {
        let (done, result) = oneshot::channel();
        let sent = self.commands.send(command(done)).await;
        sent.map_err(|_| KernelError::Dead)?;
        result.await.map_err(|_| KernelError::Dead)
    }
}

/// The connection between a client and a kernel.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// Requests to the kernel. It stays valid across restarts.
    pub(crate) requests: mpsc::Sender<Message>,

    /// Output for all clients, and replies to this client.
    pub(crate) inbox: Inbox,
}

/// Relays between a client and the current instance of the kernel until the client disconnects.
async fn relay(
    mut requests: mpsc::Receiver<Message>,
    client: clients::ClientId,
    mut phase: watch::Receiver<Phase>,
    clients: Arc<Clients>,
) {
    loop {
        let now = phase.borrow_and_update().clone();
        let changed = async { phase.changed().await.is_ok() };
        let is_connected = match now {
            // Requests stay in the queue until the kernel has started.
            Phase::Starting => changed.await,
            Phase::Running(endpoint) => tokio::select! {
                biased;
                changed = changed => changed,
                () = endpoint.relay(&mut requests, client, &clients) => !requests.is_closed(),
            },
            // A dead kernel answers no requests, so they are dropped.
            Phase::Dead => tokio::select! {
                changed = changed => changed,
                request = requests.recv() => request.is_some(),
            },
        };
        if !is_connected {
            return;
        }
    }
}

/// Why an operation on a kernel failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KernelError {
    /// There is no kernel with this id.
    Unknown(KernelId),

    /// There is no kernelspec with this name.
    NoSuchSpec(String),

    /// The kernel is dead and has to be restarted.
    Dead,

    /// The kernel reported an error, or ended.
    Failed(String),

    /// The server is shutting down.
    Closed,
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(id) => write!(f, "Kernel does not exist: {id}"),
            Self::NoSuchSpec(name) => write!(f, "No such kernel named {name}"),
            Self::Dead => f.write_str("The kernel is dead"),
            Self::Failed(why) => f.write_str(why),
            Self::Closed => f.write_str("The server is shutting down"),
        }
    }
}
