//! Listens to a kernel from its first word to its last.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use zeromq::ZmqResult;
use zeromq::util::PeerIdentity;

use super::connection::Connection;
use super::sockets::{Dealer, Subscriber};
use crate::kernel::output::Output;
use crate::wire::{Channel, Message};

/// How often a kernel that does not answer is asked again.
const NUDGE: Duration = Duration::from_secs(1);

/// After the end of a process, its last words are in the socket. When nothing has come for this
/// long, that was all.
const SILENCE: Duration = Duration::from_millis(50);

/// However much there is to say, this is when we stop listening.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Listener {
    answered: oneshot::Receiver<ZmqResult<()>>,
    finish: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(super) fn start(connection: Arc<Connection>, output: Output) -> Self {
        let (tell, answered) = oneshot::channel();
        let (finish, mut finished) = oneshot::channel();
        let task = tokio::spawn(async move {
            let iopub = tokio::select! {
                iopub = greet(&connection, &output) => iopub,
                _ = &mut finished => return,
            };
            match iopub {
                Ok(iopub) => {
                    let _ = tell.send(Ok(()));
                    listen(iopub, &output, finished).await;
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        });
        Self {
            answered,
            finish: Some(finish),
            task,
        }
    }

    /// Waits until the kernel has answered for the first time. To be asked until it has, once.
    pub(super) async fn answered(&mut self) -> Result<(), String> {
        match (&mut self.answered).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("its listener ended".to_owned()),
        }
    }

    /// Hears out what the kernel said before its end.
    pub(super) async fn finish(&mut self) {
        if let Some(finish) = self.finish.take() {
            let _ = finish.send(());
            let _ = timeout(LAST_WORDS, &mut self.task).await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks the kernel who it is until it has answered *and* was heard to be idle again. A subscription
/// takes a moment to arrive, and what is said before that is lost.
async fn greet(connection: &Connection, output: &Output) -> ZmqResult<Subscriber> {
    let mut iopub = Subscriber::connect(connection).await?;
    let mut shell = Dealer::connect(connection, Channel::Shell, &PeerIdentity::new()).await?;
    let mut nudge = interval(NUDGE);
    let (mut idle, mut answered) = (false, false);
    while !(idle && answered) {
        tokio::select! {
            message = iopub.recv() => {
                publish(output, &message?);
                idle = output.status.execution_state() == "idle";
            }
            answer = shell.recv() => {
                answer?;
                answered = true;
            }
            _ = nudge.tick() => {
                let request = Message::new(Channel::Shell, "kernel_info_request", "server", None, &json!({}));
                shell.send(request).await?;
            }
        }
    }
    Ok(iopub)
}

async fn listen(mut iopub: Subscriber, output: &Output, mut finished: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            // In this order, so that `finished` waits for nothing that can be had at once.
            biased;
            message = iopub.recv() => match message {
                Ok(message) => publish(output, &message),
                // The socket connects again by itself, unless the process is gone.
                Err(error) => tracing::debug!(%error, "a kernel's output broke off"),
            },
            _ = &mut finished => break,
        }
    }
    while let Ok(Ok(message)) = timeout(SILENCE, iopub.recv()).await {
        publish(output, &message);
    }
}

/// The welcome of a subscription is meant for the subscriber, which is us.
fn publish(output: &Output, message: &Message) {
    let is_welcome = message
        .header()
        .is_ok_and(|header| header.msg_type == "iopub_welcome");
    if !is_welcome {
        output.publish(message);
    }
}
