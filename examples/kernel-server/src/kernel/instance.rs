//! One instance of a kernel: from a start to the next restart, shutdown or failure.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::clients::{ClientId, Clients};
use super::embedded::{EmbeddedEndpoint, EmbeddedInstance};
use super::output::Output;
use super::process::{ProcessEndpoint, ProcessInstance};
use super::spec::{KernelSpec, Kind};
use crate::wire::Message;

#[derive(Debug)]
pub(super) enum Instance {
    Process(ProcessInstance),
    Embedded(EmbeddedInstance),
}

/// An event that the server did not cause.
#[derive(Debug)]
pub(super) enum InstanceEvent {
    /// The kernel answers requests now.
    Ready(Endpoint),

    /// The kernel has ended unexpectedly, for this reason.
    Ended(String),
}

/// The connection over which clients reach a running kernel.
#[derive(Clone, Debug)]
pub(super) enum Endpoint {
    Process(ProcessEndpoint),
    Embedded(EmbeddedEndpoint),
}

impl Instance {
    pub(super) fn start(spec: &KernelSpec, output: Output) -> io::Result<Self> {
        match &spec.kind {
            Kind::Process(installed) => {
                ProcessInstance::start(&spec.name, installed, output).map(Self::Process)
            }
            Kind::Embedded => EmbeddedInstance::start(output).map(Self::Embedded),
        }
    }

    /// Waits for the next event. Cancel safe.
    pub(super) async fn next_event(&mut self) -> InstanceEvent {
        match self {
            Self::Process(instance) => instance.next_event().await,
            Self::Embedded(instance) => instance.next_event().await,
        }
    }

    /// Interrupts the running code.
    pub(super) async fn interrupt(&self) -> Result<(), String> {
        match self {
            Self::Process(instance) => instance.interrupt().await,
            Self::Embedded(instance) => {
                instance.interrupt();
                Ok(())
            }
        }
    }

    /// Ends the kernel within a few seconds.
    pub(super) async fn stop(&mut self, restart: bool) {
        match self {
            Self::Process(instance) => instance.stop(restart).await,
            Self::Embedded(instance) => instance.stop().await,
        }
    }
}

impl Endpoint {
    /// Relays messages between a client and the kernel until one of them disconnects.
    pub(super) async fn relay(
        &self,
        requests: &mut mpsc::Receiver<Message>,
        client: ClientId,
        clients: &Arc<Clients>,
    ) {
        match self {
            Self::Process(endpoint) => endpoint.relay(requests, client, clients).await,
            Self::Embedded(endpoint) => endpoint.relay(requests, client).await,
        }
    }
}
