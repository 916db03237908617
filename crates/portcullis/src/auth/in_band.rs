use std::time::Duration;

use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::admission::Gate;
use crate::carrier::entries;
use crate::refusal::{Refusal, RefusalKind, Respond};
use crate::session::{CloseCodes, CloseFrame};

/// Opens the socket of a refused upgrade and closes it with a code, if the refusal is one that a
/// code can tell.
pub(super) fn refuse<V, R: Respond<B>, B>(
    gate: &Gate<V, R>,
    refusal: &Refusal,
    parts: &mut Parts,
    on_upgrade: OnUpgrade,
) -> Option<Response<B>> {
    let settings = &gate.settings;
    let frame = frame(refusal, &settings.codes())?;
    let permit = UNANSWERED.try_acquire().ok()?;
    tracing::event!(
        name: "refused",
        target: "portcullis",
        tracing::Level::DEBUG,
        kind = refusal.kind().as_str(),
        profile = settings.profile.name(),
        code = frame.code(),
        "{refusal}"
    );
    tokio::spawn(close(on_upgrade, frame, permit));

    let accept = accept(&parts.headers);
    // A responder answers a HEAD without a body, which is what the opening of a socket has.
    parts.method = Method::HEAD;
    let mut response = gate.responder.respond(refusal, parts);
    let headers = response.headers_mut();
    headers.clear();
    if let Some(protocol) = first_protocol(&parts.headers) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    *response.status_mut() = match parts.version <= Version::HTTP_11 {
        true => {
            let accept = accept?;
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers::HeaderMapExt::typed_insert(headers, accept);
            StatusCode::SWITCHING_PROTOCOLS
        }
        false => StatusCode::OK,
    };
    response.extensions_mut().insert(refusal.clone());
    Some(response)
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
    Some(CloseFrame::new(code, refusal.explain().to_owned()))
}

fn accept(headers: &HeaderMap) -> Option<headers::SecWebsocketAccept> {
    headers.get(SEC_WEBSOCKET_KEY)?;
    let key: headers::SecWebsocketKey = headers::HeaderMapExt::typed_get(headers)?;
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
