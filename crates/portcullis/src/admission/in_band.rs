use http::Response;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::carrier::entries;
use crate::close::{CLOSE_TIMEOUT, CloseCodes, CloseFrame, CloseReason};
use crate::refusal::{Refusal, RefusalKind};
use crate::upgrade::Opening;

/// The answer to an upgrade that is refused in band: it opens the socket, which is closed at once.
#[derive(Debug)]
pub(crate) struct InBand {
    opening: Opening,
    protocol: Option<HeaderValue>,
}

impl InBand {
    /// Closes the socket with a code, once it is open. `None` if the refusal is none that a code
    /// can tell, or if too many have not answered theirs.
    pub(crate) fn refuse(
        refusal: &Refusal,
        profile: Option<&str>,
        codes: &CloseCodes,
        parts: &Parts,
        on_upgrade: OnUpgrade,
    ) -> Option<Self> {
        let frame = frame(refusal, codes)?;
        let opening = Opening::new(parts)?;
        let protocol = first_protocol(&parts.headers);
        let permit = UNANSWERED.try_acquire().ok()?;
        tracing::event!(
            name: "refused",
            target: "portcullis",
            tracing::Level::DEBUG,
            kind = refusal.kind().as_str(),
            profile,
            code = frame.code(),
            "{refusal}"
        );
        tokio::spawn(close(on_upgrade, frame, permit));
        Some(Self { opening, protocol })
    }

    #[cfg(feature = "axum")]
    pub(crate) fn status(&self) -> http::StatusCode {
        self.opening.status()
    }

    /// The response, with the body that a responder has for none.
    pub(crate) fn into_response<B>(self, refusal: &Refusal, body: B) -> Response<B> {
        let mut response = self.opening.into_response(self.protocol, body);
        response.extensions_mut().insert(refusal.clone());
        response
    }
}

/// The frame for a refusal that is about the credential, or about the server's own state. A
/// malformed handshake and a foreign page are answered in HTTP.
fn frame(refusal: &Refusal, codes: &CloseCodes) -> Option<CloseFrame> {
    use RefusalKind as Kind;

    let reason = match refusal.kind() {
        Kind::ConflictingCredentials
        | Kind::InvalidCredential
        | Kind::MalformedCredential
        | Kind::MissingCredential
        | Kind::UnsupportedScheme => CloseReason::Invalid,
        Kind::ExpiredCredential => CloseReason::Expired,
        Kind::ForbiddenCredential => CloseReason::Forbidden,
        Kind::ServerFull
        | Kind::TooManySessions
        | Kind::VerifierFailed
        | Kind::VerifierUnavailable => CloseReason::Unavailable,
        _ => return None,
    };
    Some(CloseFrame::new(
        codes.code(reason),
        refusal.detail().to_owned(),
    ))
}

/// A browser that offered subprotocols takes an answer without one for a failure, and shows no
/// code. What bore a token has been taken out by now.
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
        let _ = say(TokioIo::new(upgraded), &frame).await;
    };
    // Whoever does not answer is dropped with the rest.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
    drop(permit);
}

/// One close frame, unmasked and unfragmented as a server's is (RFC 6455 §5.2, §5.5.1), and the
/// client's answer to it, whatever it says.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    frame: &CloseFrame,
) -> std::io::Result<()> {
    let reason = frame.reason().as_bytes();
    let mut bytes = Vec::with_capacity(4 + reason.len());
    // A reason has at most 123 bytes, so that the length fits.
    bytes.extend([0x88, 2 + reason.len() as u8]);
    bytes.extend(frame.code().to_be_bytes());
    bytes.extend(reason);
    socket.write_all(&bytes).await?;
    socket.flush().await?;
    let mut answer = [0; 256];
    let mut left = MOST_READ;
    while left > 0 {
        let read = socket.read(&mut answer).await?;
        if read == 0 || answer[0] & 0x0f == 0x8 {
            break;
        }
        left = left.saturating_sub(read);
    }
    socket.shutdown().await
}

/// Sockets that were refused in band and have not answered yet.
static UNANSWERED: Semaphore = Semaphore::const_new(1024);

/// How much of what a refused client sends is read while its answer is awaited.
const MOST_READ: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_one_close_frame_and_waits_for_the_answer() {
        let (server, mut client) = tokio::io::duplex(256);
        let frame = CloseFrame::new(3000, "no");
        let server = tokio::spawn(async move { say(server, &frame).await });
        let mut said = [0; 6];
        client.read_exact(&mut said).await.unwrap();
        assert_eq!(said, [0x88, 4, 0x0b, 0xb8, b'n', b'o']);
        client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
        server.await.unwrap().unwrap();
        assert_eq!(client.read(&mut said).await.unwrap(), 0, "the end");
    }
}
