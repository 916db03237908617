//! Kernels: who runs code, and how to reach them.
//!
//! ```text
//! Kernels ─▶ Kernel ─▶ Supervisor ─▶ Life ─┬▶ process   (ZeroMQ)
//!              │                           └▶ embedded  (a thread)
//!              └─ attach ─▶ Attachment: requests in, an inbox out
//! ```

mod clients;
mod embedded;
mod life;
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

pub(crate) use self::clients::{ClientKey, Farewell, Inbox};
pub(crate) use self::registry::Kernels;
pub(crate) use self::spec::{Choice, KernelSpec, KernelSpecs};

use self::clients::Clients;
use self::life::Life;
use self::output::Output;
use self::status::Status;
use self::supervisor::{Order, Phase, Supervisor};
use crate::events::{Action, Events};
use crate::wire::{Message, timestamp};

pub(crate) type KernelId = Uuid;

/// How many requests of one client wait for the kernel. The next one waits in the client.
const REQUESTS: usize = 64;

/// A kernel, dead or alive. It keeps its id and its clients over every restart.
#[derive(Debug)]
pub(crate) struct Kernel {
    id: KernelId,
    name: String,
    clients: Arc<Clients>,
    status: Arc<Status>,
    phase: watch::Receiver<Phase>,
    orders: mpsc::Sender<Order>,
}

/// A kernel as the REST interface shows it.
#[derive(Debug, Serialize)]
pub(crate) struct KernelModel {
    pub(crate) id: KernelId,
    pub(crate) name: String,
    pub(crate) last_activity: String,
    pub(crate) execution_state: String,
    pub(crate) connections: usize,
}

impl Kernel {
    /// Starts a kernel. It may take a while until it answers.
    fn start(spec: KernelSpec, events: Events) -> io::Result<Self> {
        let id = Uuid::new_v4();
        let output = Output {
            clients: Arc::default(),
            status: Arc::new(Status::new()),
        };
        let life = Life::start(&spec, output.clone())?;
        let (phase, watched_phase) = watch::channel(Phase::Starting);
        let (sender, orders) = mpsc::channel(8);
        events.tell(Action::Start, id, &spec.name, None);
        let kernel = Self {
            id,
            name: spec.name.clone(),
            clients: Arc::clone(&output.clients),
            status: Arc::clone(&output.status),
            phase: watched_phase,
            orders: sender,
        };
        let supervisor = Supervisor {
            id,
            spec,
            life: Some(life),
            output,
            phase,
            orders,
            events,
            restarting: Vec::new(),
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

    /// Stops the code that runs, and leaves the kernel as it is.
    pub(crate) async fn interrupt(&self) -> Result<(), KernelError> {
        self.order(Order::Interrupt).await?
    }

    /// Starts afresh, also from death. Done when the kernel answers again.
    pub(crate) async fn restart(&self) -> Result<(), KernelError> {
        self.order(Order::Restart).await?
    }

    /// Ends the kernel and the sockets of its clients. Done when nothing is left of it.
    async fn shutdown(&self, farewell: Farewell) {
        // An error means that it is gone already.
        let _ = self.order(|done| Order::Shutdown(farewell, done)).await;
    }

    /// Lets a client talk to the kernel. An older one of the same key is let go of.
    pub(crate) fn attach(&self, key: ClientKey) -> Attachment {
        let inbox = self.clients.join(key);
        let (sender, requests) = mpsc::channel(REQUESTS);
        let clients = Arc::clone(&self.clients);
        tokio::spawn(relay(requests, inbox.id(), self.phase.clone(), clients));
        Attachment {
            requests: sender,
            inbox,
        }
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, KernelError> {
        let (done, result) = oneshot::channel();
        let sent = self.orders.send(order(done)).await;
        sent.map_err(|_| KernelError::Dead)?;
        result.await.map_err(|_| KernelError::Dead)
    }
}

/// A client's two ends of the way to a kernel and back.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// To the kernel, whichever life it is in.
    pub(crate) requests: mpsc::Sender<Message>,

    /// From it: what it tells everybody, and what it answers this client.
    pub(crate) inbox: Inbox,
}

/// Follows a kernel from life to life for as long as the client is there.
async fn relay(
    mut requests: mpsc::Receiver<Message>,
    client: clients::ClientId,
    mut phase: watch::Receiver<Phase>,
    clients: Arc<Clients>,
) {
    loop {
        let now = phase.borrow_and_update().clone();
        let changed = async { phase.changed().await.is_ok() };
        let stays = match now {
            // What a client asks of a kernel that starts, the kernel will hear.
            Phase::Starting => changed.await,
            Phase::Running(endpoint) => tokio::select! {
                biased;
                changed = changed => changed,
                () = endpoint.relay(&mut requests, client, &clients) => !requests.is_closed(),
            },
            // What it asks of a dead one, nobody will.
            Phase::Dead => tokio::select! {
                changed = changed => changed,
                request = requests.recv() => request.is_some(),
            },
        };
        if !stays {
            return;
        }
    }
}

/// Why a kernel cannot do what it should.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KernelError {
    /// There is no kernel of this id.
    Unknown(KernelId),

    /// There is no kernelspec of this name.
    NoSuchSpec(String),

    /// It is dead, and only a restart helps.
    Dead,

    /// It tried.
    Failed(String),

    /// The server is about to stop.
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
