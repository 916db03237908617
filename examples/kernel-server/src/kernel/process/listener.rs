//! Receives the output of a kernel from its start to its end.

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

/// How often a starting kernel is asked whether it is ready.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// After the process has ended, the socket may still contain output. It counts as drained when no
/// message arrives for this long.
const DRAIN_IDLE: Duration = Duration::from_millis(50);

/// How long draining may take at most.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Listener {
    ready: oneshot::Receiver<ZmqResult<()>>,
    finish: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(super) fn start(connection: Arc<Connection>, output: Output) -> Self {
        let (ready_sender, ready) = oneshot::channel();
        let (finish, mut finished) = oneshot::channel();
        let task = tokio::spawn(async move {
            let iopub = tokio::select! {
                iopub = wait_until_ready(&connection, &output) => iopub,
                _ = &mut finished => return,
            };
            match iopub {
                Ok(iopub) => {
                    let _ = ready_sender.send(Ok(()));
                    listen(iopub, &output, finished).await;
                }
                Err(error) => drop(ready_sender.send(Err(error))),
            }
        });
        Self {
            ready,
            finish: Some(finish),
            task,
        }
    }

    /// Waits until the kernel answers requests. Must not be called again after it has returned.
    pub(super) async fn ready(&mut self) -> Result<(), String> {
        match (&mut self.ready).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the listener task ended".to_owned()),
        }
    }

    /// Publishes the remaining output after the process has ended.
    pub(super) async fn finish(&mut self) {
        if let Some(finish) = self.finish.take() {
            let _ = finish.send(());
            let _ = timeout(DRAIN_TIMEOUT, &mut self.task).await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends `kernel_info_request` until the reply *and* the status `idle` have arrived.
///
/// A kernel drops output until it has processed the subscription. The status proves that it has.
async fn wait_until_ready(connection: &Connection, output: &Output) -> ZmqResult<Subscriber> {
    let mut iopub = Subscriber::connect(connection).await?;
    let mut shell = Dealer::connect(connection, Channel::Shell, &PeerIdentity::new()).await?;
    let mut probe = interval(PROBE_INTERVAL);
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
            _ = probe.tick() => {
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
            // Messages that are ready are published before `finished` is checked.
            biased;
            message = iopub.recv() => match message {
                Ok(message) => publish(output, &message),
                // The socket reconnects automatically unless the process has ended.
                Err(error) => tracing::debug!(%error, "cannot receive the output of a kernel"),
            },
            _ = &mut finished => break,
        }
    }
    while let Ok(Ok(message)) = timeout(DRAIN_IDLE, iopub.recv()).await {
        publish(output, &message);
    }
}

/// Publishes a message, except for `iopub_welcome`, which is meant for this subscriber.
fn publish(output: &Output, message: &Message) {
    let is_welcome = message
        .header()
        .is_ok_and(|header| header.msg_type == "iopub_welcome");
    if !is_welcome {
        output.publish(message);
    }
}
