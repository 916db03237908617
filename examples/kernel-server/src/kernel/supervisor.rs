//! The task that owns a kernel. It starts and stops its instances, and reports when one ends
//! unexpectedly.

use std::future;

use tokio::sync::{mpsc, oneshot, watch};

use super::clients::CloseReason;
use super::instance::{Endpoint, Instance, InstanceEvent};
use super::output::Output;
use super::spec::KernelSpec;
use super::{KernelError, KernelId};
use crate::events::{Action, Events};

/// A command to a kernel. The sender receives the result.
#[derive(Debug)]
pub(super) enum Command {
    Interrupt(oneshot::Sender<Result<(), KernelError>>),
    Restart(oneshot::Sender<Result<(), KernelError>>),
    Shutdown(CloseReason, oneshot::Sender<()>),
}

/// Whether a kernel answers requests.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Starting,
    Running(Endpoint),
    Dead,
}

#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) id: KernelId,
    pub(super) spec: KernelSpec,
    pub(super) instance: Option<Instance>,
    pub(super) output: Output,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: Events,
    /// The callers of `restart` that wait until the kernel answers requests.
    pub(super) pending_restarts: Vec<oneshot::Sender<Result<(), KernelError>>>,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Interrupt(done)) => {
                        let _ = done.send(self.interrupt().await);
                    }
                    Some(Command::Restart(done)) => self.restart(done).await,
                    Some(Command::Shutdown(reason, done)) => {
                        self.shutdown(reason).await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.shutdown(CloseReason::KernelShutDown).await,
                },
                event = next_event(&mut self.instance) => match event {
                    InstanceEvent::Ready(endpoint) => self.ready(endpoint),
                    InstanceEvent::Ended(reason) => self.died(&reason),
                },
            }
        }
    }

    async fn interrupt(&self) -> Result<(), KernelError> {
        let Some(instance) = &self.instance else {
            return Err(KernelError::Dead);
        };
        let result = instance.interrupt().await.map_err(KernelError::Failed);
        self.publish(Action::Interrupt, &result);
        result
    }

    /// Starts a new instance. `done` receives the result when the kernel answers requests.
    async fn restart(&mut self, done: oneshot::Sender<Result<(), KernelError>>) {
        self.phase.send_replace(Phase::Starting);
        self.output.publish_status("restarting");
        if let Some(mut instance) = self.instance.take() {
            instance.stop(true).await;
        }
        self.pending_restarts.push(done);
        match Instance::start(&self.spec, self.output.clone()) {
            Ok(instance) => self.instance = Some(instance),
            Err(error) => self.died(&error.to_string()),
        }
    }

    async fn shutdown(&mut self, reason: CloseReason) {
        if let Some(mut instance) = self.instance.take() {
            instance.stop(false).await;
        }
        self.complete_restarts(&Err(KernelError::Dead));
        self.phase.send_replace(Phase::Dead);
        self.output.publish_status("dead");
        self.output.clients.close(reason);
        self.publish(Action::Shutdown, &Ok(()));
    }

    fn ready(&mut self, endpoint: Endpoint) {
        self.phase.send_replace(Phase::Running(endpoint));
        if !self.pending_restarts.is_empty() {
            self.publish(Action::Restart, &Ok(()));
            self.complete_restarts(&Ok(()));
        }
    }

    fn died(&mut self, reason: &str) {
        tracing::warn!(kernel = %self.id, reason, "kernel died");
        self.instance = None;
        self.phase.send_replace(Phase::Dead);
        self.output.publish_status("dead");
        let result = Err(KernelError::Failed(reason.to_owned()));
        let action = match self.pending_restarts.is_empty() {
            true => Action::Shutdown,
            false => Action::Restart,
        };
        self.publish(action, &result);
        self.complete_restarts(&result);
    }

    fn complete_restarts(&mut self, result: &Result<(), KernelError>) {
        for done in self.pending_restarts.drain(..) {
            let _ = done.send(result.clone());
        }
    }

    fn publish(&self, action: Action, result: &Result<(), KernelError>) {
        let error = result.as_ref().err().map(ToString::to_string);
        self.events.publish(action, self.id, &self.spec.name, error);
    }
}

/// Waits for the next event. A dead kernel has none.
async fn next_event(instance: &mut Option<Instance>) -> InstanceEvent {
    match instance {
        Some(instance) => instance.next_event().await,
        None => future::pending().await,
    }
}
