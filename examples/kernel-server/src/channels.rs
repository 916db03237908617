//! The WebSocket of a kernel: frames on one side, messages on the other.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};

use crate::auth::ws::{CloseFrame, Message as Frame, WebSocket, close_code};
use crate::kernel::{ClientKey, Farewell, Kernel};
use crate::wire::{Format, Malformed, Message};

/// The largest message of a client, as jupyter_server has it.
pub(crate) const LARGEST_MESSAGE: usize = 10 << 20;

/// Who takes longer to take a message is not there any more.
const WRITE: Duration = Duration::from_secs(30);

/// How often we make sure that a silent client is there, and for how long it may stay silent.
const PING: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(90);

/// How long a client may take to answer our close frame.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves a socket to its end.
pub(crate) async fn serve(mut socket: WebSocket, kernel: Arc<Kernel>, key: ClientKey) {
    let format = Format::of(socket.protocol().map(HeaderValue::as_bytes));
    let mut attachment = kernel.attach(key);
    let mut ping = interval_at(Instant::now() + PING, PING);
    let mut heard = Instant::now();
    let close = loop {
        let frame = tokio::select! {
            received = receive(&mut socket, &attachment.requests) => {
                // Without a frame, the client is gone.
                let Some((frame, permit)) = received else { return };
                heard = Instant::now();
                match format.decode(frame) {
                    Ok(Some(request)) => permit.send(request),
                    Ok(None) => {}
                    Err(malformed) => break close_for(malformed),
                }
                continue;
            }
            message = attachment.inbox.next() => match message {
                Ok(message) => match format.encode(&message) {
                    Ok(frame) => frame,
                    Err(malformed) => {
                        tracing::warn!(why = malformed.as_str(), "dropped a message of a kernel");
                        continue;
                    }
                },
                Err(farewell) => break goodbye(farewell),
            },
            _ = ping.tick() => {
                // Who waits for a busy kernel is not silent: we do not listen.
                let listening = attachment.requests.capacity() > 0;
                if listening && heard.elapsed() > SILENCE {
                    return;
                }
                Frame::Ping(Bytes::new())
            }
        };
        match timeout(WRITE, socket.send(frame)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    };
    tracing::debug!(kernel = %kernel.id(), code = close.code, "closed a socket");
    say_goodbye(socket, close).await;
}

/// Sends a close frame, and waits a little for the client's own.
pub(crate) async fn say_goodbye(mut socket: WebSocket, close: CloseFrame) {
    let goodbye = async {
        socket.send(Frame::Close(Some(close))).await?;
        while let Some(frame) = socket.recv().await {
            frame?;
        }
        Ok::<_, axum::Error>(())
    };
    // Whatever comes of it, the socket is dropped.
    let _ = timeout(GOODBYE, goodbye).await;
}

/// Waits for room on the way to the kernel, and then for a frame. Cancel safe.
async fn receive<'a>(
    socket: &mut WebSocket,
    requests: &'a mpsc::Sender<Message>,
) -> Option<(Frame, mpsc::Permit<'a, Message>)> {
    let Ok(permit) = requests.reserve().await else {
        // The kernel is gone. The inbox says so, with the reason.
        return future::pending().await;
    };
    let frame = socket.recv().await?.ok()?;
    Some((frame, permit))
}

/// JupyterLab connects again, unless the code is 1000 or 1001.
fn goodbye(farewell: Farewell) -> CloseFrame {
    let (code, reason) = match farewell {
        Farewell::Replaced => (
            close_code::NORMAL,
            "another socket of this session took over",
        ),
        Farewell::KernelGone => (close_code::NORMAL, "the kernel was shut down"),
        Farewell::GoingAway => (close_code::AWAY, "the server is shutting down"),
        Farewell::TooSlow => (close_code::AGAIN, "too slow for what the kernel says"),
    };
    CloseFrame {
        code,
        reason: reason.into(),
    }
}

fn close_for(malformed: Malformed) -> CloseFrame {
    CloseFrame {
        code: match malformed {
            Malformed::KindOfFrame => close_code::UNSUPPORTED,
            _ => close_code::INVALID,
        },
        reason: malformed.as_str().into(),
    }
}
