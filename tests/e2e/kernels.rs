//! Kernels over REST, and their sockets with the Rust client `jupyter-websocket-client`.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use jupyter_protocol::{ExecuteRequest, ExecutionState, JupyterMessage, JupyterMessageContent};
use jupyter_websocket_client::{JupyterWebSocket, RemoteServer};
use portcullis_e2e::{Server, fetch, request};
use serde_json::{Value, json};
use tokio::time::timeout;

/// The subprotocol of kernels.
pub(crate) const KERNELS: &str = "v1.kernel.websocket.jupyter.org";

const LIMIT: Duration = Duration::from_secs(60);

/// Starts a Python kernel and returns its id.
pub(crate) async fn start(base: &str, token: &str) -> String {
    let body = json!({ "name": "python3" }).to_string();
    let url = format!("{base}api/kernels");
    let response = fetch(request("POST", &url, Some(token), &body)).await;
    assert_eq!(
        response.status(),
        StatusCode::CREATED,
        "{}",
        response.body()
    );
    let kernel: Value = serde_json::from_str(response.body()).expect("a kernel in JSON");
    kernel["id"]
        .as_str()
        .expect("a kernel has an id")
        .to_owned()
}

/// Returns the kernels that the server lists.
pub(crate) async fn list(server: &Server) -> Vec<Value> {
    let url = format!("{}api/kernels", server.base());
    let response = fetch(request("GET", &url, Some(server.token()), "")).await;
    assert_eq!(response.status(), StatusCode::OK, "{}", response.body());
    serde_json::from_str(response.body()).expect("a list of kernels in JSON")
}

/// Returns the path of the socket of a kernel.
pub(crate) fn channels(id: &str) -> String {
    format!("api/kernels/{id}/channels")
}

/// A kernel with an open socket.
pub(crate) struct Kernel {
    url: String,
    token: String,
    socket: JupyterWebSocket,
}

impl Kernel {
    /// Starts a Python kernel and opens its socket.
    pub(crate) async fn start(base: &str, token: &str) -> Self {
        let id = start(base, token).await;
        let server = RemoteServer {
            base_url: base.to_owned(),
            token: token.to_owned(),
        };
        let connected = timeout(LIMIT, server.connect_to_kernel(&id)).await;
        let (socket, response) = connected
            .expect("a response in time")
            .expect("the socket opens");
        assert_eq!(response.headers()["sec-websocket-protocol"], KERNELS);
        Self {
            url: format!("{base}api/kernels/{id}"),
            token: token.to_owned(),
            socket,
        }
    }

    /// Runs a cell and returns its output.
    pub(crate) async fn run(&mut self, code: &str) -> String {
        let request = self.send(code).await;
        let mut text = String::new();
        loop {
            let message = self.next().await;
            if message
                .parent_header
                .is_none_or(|parent| parent.msg_id != request)
            {
                continue;
            }
            match message.content {
                JupyterMessageContent::StreamContent(stream) => text += &stream.text,
                JupyterMessageContent::Status(status)
                    if status.execution_state == ExecutionState::Idle =>
                {
                    return text;
                }
                _ => {}
            }
        }
    }

    /// Starts a cell that does not end, and waits for its first output.
    pub(crate) async fn start_cell(&mut self, code: &str) {
        self.send(code).await;
        while !matches!(
            self.next().await.content,
            JupyterMessageContent::StreamContent(_)
        ) {}
    }

    /// Runs a cell that ends the kernel, and returns the state that the server reports.
    pub(crate) async fn run_until_dead(&mut self, code: &str) -> ExecutionState {
        self.send(code).await;
        loop {
            if let JupyterMessageContent::Status(status) = self.next().await.content
                && !matches!(
                    status.execution_state,
                    ExecutionState::Busy | ExecutionState::Idle
                )
            {
                return status.execution_state;
            }
        }
    }

    /// Shuts the kernel down over REST.
    pub(crate) async fn shut_down(self) {
        let response = fetch(request("DELETE", &self.url, Some(&self.token), "")).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }

    async fn send(&mut self, code: &str) -> String {
        let message = JupyterMessage::new(ExecuteRequest::new(code.into()), None);
        let id = message.header.msg_id.clone();
        self.socket.send(message).await.expect("the socket is open");
        id
    }

    async fn next(&mut self) -> JupyterMessage {
        let message = timeout(LIMIT, self.socket.next())
            .await
            .expect("a message in time");
        message
            .expect("the socket is open")
            .expect("a message the client can read")
    }
}
