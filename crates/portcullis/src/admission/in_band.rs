use std::time::Duration;

use headers::{HeaderMapExt, SecWebsocketAccept, SecWebsocketKey};
use http::header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::carrier::entries;
use crate::close::{CloseCodes, CloseFrame};
use crate::refusal::{Refusal, RefusalKind};

/// The answer to an upgrade that is refused in band: it opens the socket, which is closed at once.
#[derive(Debug)]
pub(crate) struct InBand {
    status: StatusCode,
    headers: HeaderMap,
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
        let mut headers = HeaderMap::new();
        let status = match parts.version <= Version::HTTP_11 {
            true => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.typed_insert(accept(&parts.headers)?);
                StatusCode::SWITCHING_PROTOCOLS
            }
            false => StatusCode::OK,
        };
        if let Some(protocol) = first_protocol(&parts.headers) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
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
        Some(Self { status, headers })
    }

    #[cfg(feature = "axum")]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The response, with the body that a responder has for none.
    pub(crate) fn into_response<B>(self, refusal: &Refusal, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.extensions_mut().insert(refusal.clone());
        response
    }
}

/// The frame for a refusal that is about the credential, or about the server's own state. A
/// malformed handshake and a foreign page are answered in HTTP.
fn frame(refusal: &Refusal, codes: &CloseCodes) -> Option<CloseFrame> {
    use RefusalKind as Kind;

    let code = match refusal.kind() {
        Kind::ConflictingCredentials
        | Kind::InvalidCredential
        | Kind::MalformedCredential
        | Kind::MissingCredential
        | Kind::UnsupportedScheme => codes.unauthorized,
        Kind::ExpiredCredential => codes.expired,
        Kind::ForbiddenCredential => codes.forbidden,
        Kind::ServerFull
        | Kind::TooManySessions
        | Kind::VerifierFailed
        | Kind::VerifierUnavailable => codes.unavailable,
        _ => return None,
    };
    Some(CloseFrame::new(code, refusal.detail().to_owned()))
}

fn accept(headers: &HeaderMap) -> Option<SecWebsocketAccept> {
    let key: SecWebsocketKey = headers.typed_get()?;
    Some(key.into())
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
    let _ = tokio::time::timeout(GRACE, closed).await;
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

/// How long a client may take to answer.
const GRACE: Duration = Duration::from_secs(3);

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
