//! What happens to kernels, for everybody who subscribes.

use serde_json::json;
use tokio::sync::broadcast;

use crate::kernel::KernelId;

/// The schema of Jupyter Server for these events.
const SCHEMA: &str = "https://events.jupyter.org/jupyter_server/kernel_actions/v1";

/// How many events wait for a subscriber before it is let go of.
const QUEUE: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Events(broadcast::Sender<String>);

/// What was done to a kernel, or what it did itself: one that dies shuts down with an error.
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

    /// Everything that happens from now on, as JSON.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<String> {
        self.0.subscribe()
    }

    pub(crate) fn tell(&self, action: Action, id: KernelId, name: &str, error: Option<String>) {
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
        // Fails when nobody listens.
        let _ = self.0.send(event.to_string());
    }
}
