//! A client that has closed its socket before the handler has it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::live::Live;
use crate::site::Over;

/// What a client says that has thought better of it: a handshake, and behind it a masked close
/// frame with the code 1000.
fn handshake_and_close(path: &str) -> Vec<u8> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer t0k\r\nupgrade: websocket\r\n\
         connection: upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut said = head.into_bytes();
    said.extend([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
    said
}

/// It is answered with a close frame (RFC 6455 §5.5.1), whatever the handler does with its socket.
#[tokio::test(start_paused = true)]
async fn is_answered() {
    for path in ["/echo", "/watch", "/sends", "/leaves", "/asleep"] {
        let live = Live::new(|sessions| sessions);
        live.grant("t0k", "alice", HOUR);
        let mut pipe = live.client(Over::Http1).pipe();
        pipe.write_all(&handshake_and_close(path)).await.unwrap();

        let mut answer = Vec::new();
        let reading = async { while pipe.read_buf(&mut answer).await.unwrap() > 0 {} };
        let ended = tokio::time::timeout(HOUR / 2, reading).await.is_ok();
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{path}: {answer:?}");
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
        assert_eq!(answer[head.unwrap() + 4..], CLOSE, "{path}");

        // Who never looks at the socket has it until the end of its session.
        assert_eq!(ended, path != "/asleep", "{path}");
        if ended {
            let closed = "closed alice: client after 0 s";
            assert_eq!(live.ledger.all(), ["opened alice", closed], "{path}");
        }
        live.assert_balanced();
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// Not masked, since a server says it: 1000 again.
const CLOSE: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];
