use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::clients::Clients;
use super::status::Status;
use crate::wire::{Channel, Message};

/// Where everything goes that a kernel tells everybody: to the clients, and into its status.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) clients: Arc<Clients>,
    pub(super) status: Arc<Status>,
}

impl Output {
    /// Passes on a message of the kernel's own.
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

    /// Tells what the kernel can no longer tell itself.
    pub(super) fn announce(&self, execution_state: &str) {
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
