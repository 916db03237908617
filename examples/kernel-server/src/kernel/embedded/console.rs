use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::kernel::clients::ClientId;
use crate::kernel::output::Output;
use crate::wire::{Channel, Message};

/// How long printed text is buffered, so that a loop does not send a message for each line.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

/// How many bytes of printed text are buffered.
const MAX_BUFFERED: usize = 64 << 10;

/// Sends the output of scripts to all clients, as part of the current request.
pub(super) struct Console {
    output: Output,
    session: String,
    parent: RefCell<Option<Bytes>>,
    printed: RefCell<String>,
    flushed: Cell<Instant>,
}

impl Console {
    pub(super) fn new(output: Output, session: &str) -> Self {
        Self {
            output,
            session: session.to_owned(),
            parent: RefCell::new(None),
            printed: RefCell::default(),
            flushed: Cell::new(Instant::now()),
        }
    }

    /// Starts the request with this header. All later output belongs to it.
    pub(super) fn begin(&self, parent: &Bytes) {
        *self.parent.borrow_mut() = Some(parent.clone());
        self.state("busy");
    }

    /// Ends the current request.
    pub(super) fn end(&self) {
        self.state("idle");
    }

    /// Sends the reply to the client that sent the request.
    pub(super) fn reply(&self, client: ClientId, msg_type: &str, content: &Value) {
        self.flush();
        let reply = self.message(Channel::Shell, msg_type, content);
        self.output.clients.deliver(client, reply);
    }

    /// Sends a message to all clients.
    pub(super) fn publish(&self, msg_type: &str, content: &Value) {
        self.flush();
        let message = self.message(Channel::Iopub, msg_type, content);
        self.output.publish(&message);
    }

    /// Prints a line.
    pub(super) fn print(&self, line: &str) {
        let mut printed = self.printed.borrow_mut();
        printed.push_str(line);
        printed.push('\n');
        let is_full = printed.len() >= MAX_BUFFERED;
        drop(printed);
        match is_full {
            true => self.flush(),
            false => self.flush_if_due(),
        }
    }

    /// Sends the buffered text if the flush interval has passed.
    pub(super) fn flush_if_due(&self) {
        if self.flushed.get().elapsed() >= FLUSH_INTERVAL {
            self.flush();
        }
    }

    /// Sends the buffered text.
    pub(super) fn flush(&self) {
        self.flushed.set(Instant::now());
        let text = self.printed.take();
        if !text.is_empty() {
            let content = json!({"name": "stdout", "text": text});
            let message = self.message(Channel::Iopub, "stream", &content);
            self.output.publish(&message);
        }
    }

    fn state(&self, state: &str) {
        self.publish("status", &json!({ "execution_state": state }));
    }

    fn message(&self, channel: Channel, msg_type: &str, content: &Value) -> Message {
        let parent = self.parent.borrow();
        Message::new(channel, msg_type, &self.session, parent.as_ref(), content)
    }
}
