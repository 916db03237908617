//! Events about kernels, for the clients of `/api/events/subscribe`.

use serde_json::json;
use tokio::sync::broadcast;

use crate::kernel::KernelId;

/// Jupyter Server's schema for these events.
const SCHEMA: &str = "https://events.jupyter.org/jupyter_server/kernel_actions/v1";

/// How many events a subscriber may lag behind before it is disconnected.
const QUEUE: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Events(broadcast::Sender<String>);

/// What happened to a kernel. A kernel that dies is reported as a failed shutdown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Start,
    Interrupt,
    Restart,
    Shutdown,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(QUEUE))
    }

    /// Receives all later events, as JSON.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<String> {
        self.0.subscribe()
    }

    pub(crate) fn publish(&self, action: Action, id: KernelId, name: &str, error: Option<String>) {
        let (action, done) = match action {
            Action::Start => ("start", "was started"),
            Action::Interrupt => ("interrupt", "was interrupted"),
            Action::Restart => ("restart", "was restarted"),
            Action::Shutdown => ("shutdown", "was shut down"),
        };
        let status = match error {
            None => "success",
            Some(_) => "error",
        };
        let event = json!({
            "schema_id": SCHEMA,
            "action": action,
            "status": status,
            "kernel_id": id,
            "kernel_name": name,
            "msg": error.unwrap_or_else(|| format!("Kernel {id} {done}.")),
        });
        // Fails if there are no subscribers.
        let _ = self.0.send(event.to_string());
    }
}
