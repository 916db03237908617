//! The task that owns a kernel: it starts its lives, ends them, and notices when one ends by
//! itself.

use std::future;

use tokio::sync::{mpsc, oneshot, watch};

use super::clients::Farewell;
use super::life::{Endpoint, Life, News};
use super::output::Output;
use super::spec::KernelSpec;
use super::{KernelError, KernelId};
use crate::events::{Action, Events};

/// What others want of a kernel. Each is answered when it is done.
#[derive(Debug)]
pub(super) enum Order {
    Interrupt(oneshot::Sender<Result<(), KernelError>>),
    Restart(oneshot::Sender<Result<(), KernelError>>),
    Shutdown(Farewell, oneshot::Sender<()>),
}

/// Where a kernel is in its life, for those who want to talk to it.
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
    pub(super) life: Option<Life>,
    pub(super) output: Output,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) events: Events,
    /// Those who wait for the kernel to be back.
    pub(super) restarting: Vec<oneshot::Sender<Result<(), KernelError>>>,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Interrupt(done)) => {
                        let _ = done.send(self.interrupt().await);
                    }
                    Some(Order::Restart(done)) => self.restart(done).await,
                    Some(Order::Shutdown(farewell, done)) => {
                        self.shutdown(farewell).await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.shutdown(Farewell::KernelGone).await,
                },
                news = news(&mut self.life) => match news {
                    News::Ready(endpoint) => self.ready(endpoint),
                    News::Ended(why) => self.died(&why),
                },
            }
        }
    }

    async fn interrupt(&self) -> Result<(), KernelError> {
        let Some(life) = &self.life else {
            return Err(KernelError::Dead);
        };
        let result = life.interrupt().await.map_err(KernelError::Failed);
        self.tell(Action::Interrupt, &result);
        result
    }

    /// Starts a new life; `done` hears of it when the kernel answers again.
    async fn restart(&mut self, done: oneshot::Sender<Result<(), KernelError>>) {
        self.phase.send_replace(Phase::Starting);
        self.output.announce("restarting");
        if let Some(mut life) = self.life.take() {
            life.stop(true).await;
        }
        self.restarting.push(done);
        match Life::start(&self.spec, self.output.clone()) {
            Ok(life) => self.life = Some(life),
            Err(error) => self.died(&error.to_string()),
        }
    }

    async fn shutdown(&mut self, farewell: Farewell) {
        if let Some(mut life) = self.life.take() {
            life.stop(false).await;
        }
        self.answer(&Err(KernelError::Dead));
        self.phase.send_replace(Phase::Dead);
        self.output.announce("dead");
        self.output.clients.close(farewell);
        self.tell(Action::Shutdown, &Ok(()));
    }

    fn ready(&mut self, endpoint: Endpoint) {
        self.phase.send_replace(Phase::Running(endpoint));
        if !self.restarting.is_empty() {
            self.tell(Action::Restart, &Ok(()));
            self.answer(&Ok(()));
        }
    }

    fn died(&mut self, why: &str) {
        tracing::warn!(kernel = %self.id, why, "a kernel died");
        self.life = None;
        self.phase.send_replace(Phase::Dead);
        self.output.announce("dead");
        let result = Err(KernelError::Failed(why.to_owned()));
        let action = match self.restarting.is_empty() {
            true => Action::Shutdown,
            false => Action::Restart,
        };
        self.tell(action, &result);
        self.answer(&result);
    }

    fn answer(&mut self, result: &Result<(), KernelError>) {
        for waiting in self.restarting.drain(..) {
            let _ = waiting.send(result.clone());
        }
    }

    fn tell(&self, action: Action, result: &Result<(), KernelError>) {
        let error = result.as_ref().err().map(ToString::to_string);
        self.events.tell(action, self.id, &self.spec.name, error);
    }
}

/// Nothing ever happens to a kernel that is dead.
async fn news(life: &mut Option<Life>) -> News {
    match life {
        Some(life) => life.news().await,
        None => future::pending().await,
    }
}
