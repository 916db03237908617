//! The embedded kernel: a [Rhai] interpreter on a separate thread.
//!
//! [Rhai]: https://rhai.rs

mod console;
mod display;
mod interpreter;
mod signal;
mod worker;

use std::future;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use self::signal::Signal;
use self::worker::{Work, Worker};
use super::clients::ClientId;
use super::instance::{Endpoint, InstanceEvent};
use super::output::Output;
use crate::wire::{Channel, Message};

/// How many requests of all clients may be queued.
const QUEUE: usize = 256;

/// Large enough for the deepest recursion that scripts may use, even in debug builds.
const STACK_SIZE: usize = 64 << 20;

/// How long the thread may take to end. Scripts check the signal far more often.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct EmbeddedInstance {
    endpoint: EmbeddedEndpoint,
    /// Resolves when the thread is ready for requests.
    ready: Option<oneshot::Receiver<()>>,
    /// Resolves when the thread has ended, also after a panic.
    ended: oneshot::Receiver<()>,
}

impl EmbeddedInstance {
    pub(super) fn start(output: Output) -> io::Result<Self> {
        let (work, queue) = mpsc::channel(QUEUE);
        let (ready_sender, ready) = oneshot::channel();
        let (ended_sender, ended) = oneshot::channel();
        let endpoint = EmbeddedEndpoint {
            work,
            signal: Arc::default(),
            output: output.clone(),
            session: Uuid::new_v4().to_string().into(),
        };
        let signal = Arc::clone(&endpoint.signal);
        let session = Arc::clone(&endpoint.session);
        thread::Builder::new()
            .name("kernel".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || {
                // Dropped when the thread ends.
                let _ended = ended_sender;
                let worker = Worker::new(queue, output, &session, signal);
                let _ = ready_sender.send(());
                worker.run();
            })?;
        Ok(Self {
            endpoint,
            ready: Some(ready),
            ended,
        })
    }

    /// Waits for the next event. Cancel safe.
    pub(super) async fn next_event(&mut self) -> InstanceEvent {
        if let Some(ready) = &mut self.ready {
            let is_ready = ready.await.is_ok();
            self.ready = None;
            if is_ready {
                return InstanceEvent::Ready(Endpoint::Embedded(self.endpoint.clone()));
            }
        }
        let _ = (&mut self.ended).await;
        InstanceEvent::Ended("the thread of the kernel ended".to_owned())
    }

    /// Interrupts the running script.
    pub(super) fn interrupt(&self) {
        self.endpoint.signal.interrupt();
    }

    /// Ends the thread.
    pub(super) async fn stop(&mut self) {
        self.endpoint.stop();
        if timeout(STOP_TIMEOUT, &mut self.ended).await.is_err() {
            tracing::warn!("the thread of a kernel does not end");
        }
    }
}

/// Sends the requests of clients to the thread.
#[derive(Clone, Debug)]
pub(super) struct EmbeddedEndpoint {
    work: mpsc::Sender<Work>,
    signal: Arc<Signal>,
    output: Output,
    session: Arc<str>,
}

impl EmbeddedEndpoint {
    /// Relays the requests of a client until it disconnects.
    ///
    /// After the thread has ended, it waits until the supervisor drops the future.
    pub(super) async fn relay(&self, requests: &mut mpsc::Receiver<Message>, client: ClientId) {
        while let Some(request) = requests.recv().await {
            match request.channel {
                Channel::Control => self.control(client, &request),
                Channel::Shell => {
                    if self.work.send(Work::Answer(client, request)).await.is_err() {
                        future::pending::<()>().await;
                    }
                }
                Channel::Stdin | Channel::Iopub => tracing::debug!("ignored a message"),
            }
        }
    }

    /// Answers a request on the control channel immediately, even while a script runs.
    fn control(&self, client: ClientId, request: &Message) {
        let Ok(header) = request.header() else {
            return;
        };
        let (reply, content) = match &*header.msg_type {
            "kernel_info_request" => ("kernel_info_reply", worker::kernel_info()),
            "interrupt_request" => ("interrupt_reply", json!({"status": "ok"})),
            "shutdown_request" => {
                let restart = request
                    .content::<serde_json::Value>()
                    .is_ok_and(|content| content["restart"] == true);
                let content = json!({"status": "ok", "restart": restart});
                ("shutdown_reply", content)
            }
            other => return tracing::debug!(msg_type = other, "ignored a request"),
        };
        let message = |channel, msg_type, content| {
            Message::new(
                channel,
                msg_type,
                &self.session,
                Some(&request.header),
                &content,
            )
        };
        // Does not go through `Output`, because the status of the thread does not change.
        let publish_status = |state| {
            let content = json!({ "execution_state": state });
            let status = message(Channel::Iopub, "status", content);
            self.output.clients.publish(&status);
        };
        publish_status("busy");
        let reply = message(Channel::Control, reply, content);
        self.output.clients.deliver(client, reply);
        publish_status("idle");
        match &*header.msg_type {
            "interrupt_request" => self.signal.interrupt(),
            "shutdown_request" => self.stop(),
            _ => {}
        }
    }

    fn stop(&self) {
        self.signal.stop();
        // Wakes the thread if it waits for work. If the queue is full, it is not waiting.
        let _ = self.work.try_send(Work::Stop);
    }
}
