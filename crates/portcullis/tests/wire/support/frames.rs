//! WebSocket frames as bytes (RFC 6455 §5.2).

use tokio::io::{AsyncRead, AsyncReadExt};

/// A client frame with the first byte `first`, masked with zeros (RFC 6455 §5.3).
///
/// # Panics
///
/// If `payload` has more than 125 bytes.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126, "the length does not fit into one byte");
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// Reads the next server frame: `text hello`, `close 3000 reason`, or `eof` at the end of the
/// connection.
pub(crate) async fn next_frame(reader: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = [0; 2];
    if reader.read_exact(&mut head).await.is_err() {
        return "eof".to_owned();
    }
    let mut payload = vec![0; usize::from(head[1])];
    if reader.read_exact(&mut payload).await.is_err() {
        return "eof".to_owned();
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match (head[0], &payload[..]) {
        (0x81, payload) => format!("text {}", text(payload)),
        (0x82, payload) => format!("binary {}", text(payload)),
        (0x88, []) => "close".to_owned(),
        (0x88, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("close {code} {}", text(reason))
        }
        (0x8a, payload) => format!("pong {}", text(payload)),
        (first, payload) => format!("{first:#x} {}", text(payload)),
    }
}
