//! One life of a kernel: from a start to the next restart, its death or its shutdown.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::clients::{ClientId, Clients};
use super::embedded::{EmbeddedLife, Mailbox};
use super::output::Output;
use super::process::{ProcessLife, Remote};
use super::spec::{KernelSpec, Kind};
use crate::wire::Message;

/// The two kinds of kernels, which are lived in the same way.
#[derive(Debug)]
pub(super) enum Life {
    Process(ProcessLife),
    Embedded(EmbeddedLife),
}

/// What happens in a life of its own accord.
#[derive(Debug)]
pub(super) enum News {
    /// It answers now.
    Ready(Endpoint),

    /// It is over, and nobody asked for that.
    Ended(String),
}

/// How a client's requests get to a kernel that answers.
#[derive(Clone, Debug)]
pub(super) enum Endpoint {
    Process(Remote),
    Embedded(Mailbox),
}

impl Life {
    pub(super) fn start(spec: &KernelSpec, output: Output) -> io::Result<Self> {
        match &spec.kind {
            Kind::Process(installed) => {
                ProcessLife::start(&spec.name, installed, output).map(Self::Process)
            }
            Kind::Embedded => EmbeddedLife::start(output).map(Self::Embedded),
        }
    }

    /// What happens next of its own accord. Cancel safe.
    pub(super) async fn news(&mut self) -> News {
        match self {
            Self::Process(life) => life.news().await,
            Self::Embedded(life) => life.news().await,
        }
    }

    /// Asks the running code to stop.
    pub(super) async fn interrupt(&self) -> Result<(), String> {
        match self {
            Self::Process(life) => life.interrupt().await,
            Self::Embedded(life) => {
                life.interrupt();
                Ok(())
            }
        }
    }

    /// Ends it, in a few seconds at most.
    pub(super) async fn stop(&mut self, restart: bool) {
        match self {
            Self::Process(life) => life.stop(restart).await,
            Self::Embedded(life) => life.stop().await,
        }
    }
}

impl Endpoint {
    /// Relays between a client and the kernel until one of them is gone.
    pub(super) async fn relay(
        &self,
        requests: &mut mpsc::Receiver<Message>,
        client: ClientId,
        clients: &Arc<Clients>,
    ) {
        match self {
            Self::Process(remote) => remote.relay(requests, client, clients).await,
            Self::Embedded(mailbox) => mailbox.relay(requests, client).await,
        }
    }
}
