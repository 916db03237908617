use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::kernel::clients::ClientId;
use crate::kernel::output::Output;
use crate::wire::{Channel, Message};

/// How long printed text may wait for more, so that a loop does not send a message for each line.
const DELAY: Duration = Duration::from_millis(50);

/// How much of it.
const BUFFER: usize = 64 << 10;

/// Where a script's output goes: to everybody, as part of the request that is being answered.
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

    /// From here on, everything belongs to the request with this header.
    pub(super) fn begin(&self, parent: &Bytes) {
        *self.parent.borrow_mut() = Some(parent.clone());
        self.state("busy");
    }

    /// The request is answered.
    pub(super) fn end(&self) {
        self.state("idle");
    }

    /// Answers the client who asked.
    pub(super) fn reply(&self, client: ClientId, msg_type: &str, content: &Value) {
        self.flush();
        let reply = self.message(Channel::Shell, msg_type, content);
        self.output.clients.deliver(client, reply);
    }

    /// Tells everybody.
    pub(super) fn tell(&self, msg_type: &str, content: &Value) {
        self.flush();
        let message = self.message(Channel::Iopub, msg_type, content);
        self.output.publish(&message);
    }

    /// Prints a line.
    pub(super) fn print(&self, line: &str) {
        let mut printed = self.printed.borrow_mut();
        printed.push_str(line);
        printed.push('\n');
        let is_full = printed.len() >= BUFFER;
        drop(printed);
        match is_full {
            true => self.flush(),
            false => self.flush_if_due(),
        }
    }

    /// Sends what was printed, if it has waited for long enough.
    pub(super) fn flush_if_due(&self) {
        if self.flushed.get().elapsed() >= DELAY {
            self.flush();
        }
    }

    /// Sends what was printed.
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
        self.tell("status", &json!({ "execution_state": state }));
    }

    fn message(&self, channel: Channel, msg_type: &str, content: &Value) -> Message {
        let parent = self.parent.borrow();
        Message::new(channel, msg_type, &self.session, parent.as_ref(), content)
    }
}
