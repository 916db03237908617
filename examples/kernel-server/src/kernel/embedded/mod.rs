//! A kernel in this binary: the [Rhai] language on a thread of its own, behind the same protocol.
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
use super::life::{Endpoint, News};
use super::output::Output;
use crate::wire::{Channel, Message};

/// How many requests of all clients wait for the thread.
const QUEUE: usize = 256;

/// Deep recursion of a script must not overflow the stack, not even unoptimized.
const STACK: usize = 64 << 20;

/// How long the thread may take to end. Whatever it does looks at the signal far more often.
const END: Duration = Duration::from_secs(5);

/// One thread, from its start to its end.
#[derive(Debug)]
pub(super) struct EmbeddedLife {
    mailbox: Mailbox,
    /// Resolves when the thread takes its first request.
    ready: Option<oneshot::Receiver<()>>,
    /// Resolves when the thread is over, also by a panic.
    ended: oneshot::Receiver<()>,
}

impl EmbeddedLife {
    pub(super) fn start(output: Output) -> io::Result<Self> {
        let (work, queue) = mpsc::channel(QUEUE);
        let (tell_ready, ready) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let mailbox = Mailbox {
            work,
            signal: Arc::default(),
            output: output.clone(),
            session: Uuid::new_v4().to_string().into(),
        };
        let signal = Arc::clone(&mailbox.signal);
        let session = Arc::clone(&mailbox.session);
        thread::Builder::new()
            .name("kernel".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let _end = end;
                let worker = Worker::new(queue, output, &session, signal);
                let _ = tell_ready.send(());
                worker.run();
            })?;
        Ok(Self {
            mailbox,
            ready: Some(ready),
            ended,
        })
    }

    /// What happens next of its own accord. Cancel safe.
    pub(super) async fn news(&mut self) -> News {
        if let Some(ready) = &mut self.ready {
            let is_ready = ready.await.is_ok();
            self.ready = None;
            if is_ready {
                return News::Ready(Endpoint::Embedded(self.mailbox.clone()));
            }
        }
        let _ = (&mut self.ended).await;
        News::Ended("the kernel's thread ended".to_owned())
    }

    /// Stops the script that runs.
    pub(super) fn interrupt(&self) {
        self.mailbox.signal.interrupt();
    }

    /// Ends the thread.
    pub(super) async fn stop(&mut self) {
        self.mailbox.stop();
        if timeout(END, &mut self.ended).await.is_err() {
            tracing::warn!("a kernel's thread does not end");
        }
    }
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    work: mpsc::Sender<Work>,
    signal: Arc<Signal>,
    output: Output,
    session: Arc<str>,
}

impl Mailbox {
    /// Passes on what a client asks, until it is gone. Who asks a thread that ended waits here:
    /// somebody else will notice.
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

    /// Answers what concerns the kernel itself, at once, whatever the thread is doing.
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
        // Past the kernel's status: what the thread is doing has not changed.
        let tell = |state| {
            let content = json!({ "execution_state": state });
            let status = message(Channel::Iopub, "status", content);
            self.output.clients.publish(&status);
        };
        tell("busy");
        let reply = message(Channel::Control, reply, content);
        self.output.clients.deliver(client, reply);
        tell("idle");
        match &*header.msg_type {
            "interrupt_request" => self.signal.interrupt(),
            "shutdown_request" => self.stop(),
            _ => {}
        }
    }

    fn stop(&self) {
        self.signal.stop();
        // Wakes a thread that waits for work. If the queue is full, it does not.
        let _ = self.work.try_send(Work::Stop);
    }
}
