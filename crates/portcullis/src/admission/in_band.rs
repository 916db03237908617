//! Refusals that open the socket and close it at once, with a close code that scripts can read.

use http::Response;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::carrier::entries;
use crate::close::{CLOSE_TIMEOUT, CloseCodes, CloseFrame};
use crate::refusal::Refusal;
use crate::trace::Redacted;
use crate::upgrade::Opening;

/// The response of a refusal in band.
#[derive(Debug)]
pub(super) struct InBand {
    opening: Opening,
    protocol: Option<HeaderValue>,
}

impl InBand {
    /// Closes the socket with a code once it is open.
    ///
    /// Returns `None` if there is no code for the refusal, or if too many clients have not answered
    /// the close frame yet. The refusal is then answered with its status.
    pub(super) fn refuse(
        refusal: &Refusal,
        profile: &str,
        codes: &CloseCodes,
        request: &Parts,
        on_upgrade: OnUpgrade,
    ) -> Option<Self> {
        let code = codes.code(refusal.kind().close_reason()?);
        let frame = CloseFrame::new(code, refusal.detail().to_owned());
        let opening = Opening::new(request)?;
        let permit = UNANSWERED.try_acquire().ok()?;
        tracing::event!(
            name: "refused",
            target: "portcullis",
            tracing::Level::DEBUG,
            kind = refusal.kind().as_str(),
            profile,
            code,
            uri = %Redacted(&request.uri),
            reason = refusal.reason(),
            "{refusal}"
        );
        tokio::spawn(close(on_upgrade, frame, permit));
        Some(Self {
            opening,
            protocol: first_protocol(&request.headers),
        })
    }

    pub(super) fn into_response<B>(self, refusal: Refusal, body: B) -> Response<B> {
        let mut response = self.opening.into_response(self.protocol, body);
        response.extensions_mut().insert(refusal);
        response
    }
}

/// Returns the subprotocol to select. If a browser offers subprotocols and the response selects
/// none, the connection fails and the script does not see the code.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|line| entries(line.as_bytes()))
        .find_map(|entry| HeaderValue::from_bytes(entry).ok())
}

async fn close(on_upgrade: OnUpgrade, frame: CloseFrame, permit: SemaphorePermit<'static>) {
    let closed = async {
        let Ok(upgraded) = on_upgrade.await else {
            return;
        };
        // The client has closed the connection; there is nothing left to do.
        let _ = send_close(TokioIo::new(upgraded), &frame).await;
    };
    // A client that does not answer in time is disconnected.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
    drop(permit);
}

/// Sends one close frame (RFC 6455 §5.2, §5.5.1) and waits for the client's.
async fn send_close<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    frame: &CloseFrame,
) -> std::io::Result<()> {
    let reason = frame.reason().as_bytes();
    let mut bytes = Vec::with_capacity(4 + reason.len());
    // A reason has at most 123 bytes, so the length fits.
    bytes.extend([0x88, 2 + reason.len() as u8]);
    bytes.extend(frame.code().to_be_bytes());
    bytes.extend(reason);
    socket.write_all(&bytes).await?;
    socket.flush().await?;
    let mut answer = [0; 256];
    let mut left = MAX_READ;
    while left > 0 {
        let read = socket.read(&mut answer).await?;
        if read == 0 || answer[0] & 0x0f == 0x8 {
            break;
        }
        left = left.saturating_sub(read);
    }
    socket.shutdown().await
}

/// Counts the sockets that were refused in band and wait for the close frame of the client.
static UNANSWERED: Semaphore = Semaphore::const_new(1024);

/// How many bytes are read from a refused client before its close frame.
const MAX_READ: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_close_frame_is_sent_and_the_answer_awaited() {
        let (server, mut client) = tokio::io::duplex(256);
        let frame = CloseFrame::new(3000, "no");
        let server = tokio::spawn(async move { send_close(server, &frame).await });
        let mut sent = [0; 6];
        client.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, [0x88, 4, 0x0b, 0xb8, b'n', b'o']);
        client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
        server.await.unwrap().unwrap();
        assert_eq!(client.read(&mut sent).await.unwrap(), 0, "the socket ends");
    }
}
