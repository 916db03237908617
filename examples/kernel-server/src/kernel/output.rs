use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::clients::Clients;
use super::status::Status;
use crate::wire::{Channel, Message};

/// Receives the output of a kernel, updates its status, and sends the output to its clients.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) clients: Arc<Clients>,
    pub(super) status: Arc<Status>,
}

impl Output {
    /// Publishes a message of the kernel.
    pub(super) fn publish(&self, message: &Message) {
        #[derive(Deserialize)]
        struct Content {
            execution_state: String,
        }

        self.status.touch();
        if message
            .header()
            .is_ok_and(|header| header.msg_type == "status")
            && let Ok(Content { execution_state }) = message.content()
        {
            self.status.set(&execution_state);
        }
        self.clients.publish(message);
    }

    /// Publishes a status that the kernel cannot publish itself, such as `dead`.
    pub(super) fn publish_status(&self, execution_state: &str) {
        let content = json!({ "execution_state": execution_state });
        self.publish(&Message::new(
            Channel::Iopub,
            "status",
            "server",
            None,
            &content,
        ));
    }
}
