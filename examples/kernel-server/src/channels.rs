//! The WebSocket of a kernel: relays messages between a client and a kernel.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, close_code};
use axum::http::HeaderValue;
use bytes::Bytes;
use portcullis::GuardedSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};

use crate::kernel::{ClientKey, CloseReason, Kernel};
use crate::wire::{Format, Malformed, Message};

/// The maximum size of a message from a client, as in Jupyter Server.
pub(crate) const MAX_MESSAGE_SIZE: usize = 10 << 20;

/// How long a client may take to accept a message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a client is pinged, and for how long it may send nothing.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a client may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Relays messages until the client or the kernel ends.
pub(crate) async fn serve(mut socket: GuardedSocket, kernel: Arc<Kernel>, key: ClientKey) {
    let format = Format::of(socket.protocol().map(HeaderValue::as_bytes));
    let mut attachment = kernel.attach(key);
    let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    let mut last_received = Instant::now();
    let close_frame = loop {
        let frame = tokio::select! {
            received = receive(&mut socket, &attachment.requests) => {
                let Some((frame, permit)) = received else { return };
                last_received = Instant::now();
                match format.decode(frame) {
                    Ok(Some(request)) => permit.send(request),
                    Ok(None) => {}
                    Err(malformed) => break malformed_frame(malformed),
                }
                continue;
            }
            message = attachment.inbox.next() => match message {
                Ok(message) => match format.encode(&message) {
                    Ok(frame) => frame,
                    Err(malformed) => {
                        let error = malformed.as_str();
                        tracing::warn!(error, "dropped a malformed message of a kernel");
                        continue;
                    }
                },
                Err(reason) => break close_frame(reason),
            },
            _ = ping.tick() => {
                // While the kernel's queue is full, the socket is not read, so pongs do not arrive.
                let is_reading = attachment.requests.capacity() > 0;
                if is_reading && last_received.elapsed() > IDLE_TIMEOUT {
                    return;
                }
                Frame::Ping(Bytes::new())
            }
        };
        match timeout(WRITE_TIMEOUT, socket.send(frame)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    };
    tracing::debug!(kernel = %kernel.id(), code = close_frame.code, "closes a socket");
    close(socket, close_frame).await;
}

/// Sends a close frame and waits for the client's close frame.
pub(crate) async fn close(mut socket: GuardedSocket, frame: CloseFrame) {
    let handshake = async {
        socket.send(Frame::Close(Some(frame))).await?;
        while let Some(frame) = socket.recv().await {
            frame?;
        }
        Ok::<_, axum::Error>(())
    };
    // The socket is dropped in any case.
    let _ = timeout(CLOSE_TIMEOUT, handshake).await;
}

/// Waits for capacity in the kernel's queue, then for a frame. Returns `None` after the connection
/// has ended. Cancel safe.
async fn receive<'a>(
    socket: &mut GuardedSocket,
    requests: &'a mpsc::Sender<Message>,
) -> Option<(Frame, mpsc::Permit<'a, Message>)> {
    let Ok(permit) = requests.reserve().await else {
        // The kernel has ended. The inbox returns the reason.
        return future::pending().await;
    };
    let frame = socket.recv().await?.ok()?;
    Some((frame, permit))
}

/// JupyterLab reconnects unless the code is 1000 or 1001.
fn close_frame(reason: CloseReason) -> CloseFrame {
    let (code, reason) = match reason {
        CloseReason::Replaced => (
            close_code::NORMAL,
            "replaced by another socket of the same session",
        ),
        CloseReason::KernelShutDown => (close_code::NORMAL, "kernel shut down"),
        CloseReason::ServerStopping => (close_code::AWAY, "server shutting down"),
        CloseReason::TooSlow => (
            close_code::AGAIN,
            "client reads the output of the kernel too slowly",
        ),
    };
    CloseFrame {
        code,
        reason: reason.into(),
    }
}

fn malformed_frame(malformed: Malformed) -> CloseFrame {
    CloseFrame {
        code: match malformed {
            Malformed::TextFrame => close_code::UNSUPPORTED,
            _ => close_code::INVALID,
        },
        reason: malformed.as_str().into(),
    }
}
