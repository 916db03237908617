//! A client that closes its socket before the handler has received it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{HOUR, HttpVersion, TestServer, frame, raw_handshake};

/// RFC 6455 §5.5.1 requires an answer, whatever the handler does with its socket.
#[tokio::test(start_paused = true)]
async fn close_frame_sent_with_the_handshake_is_answered() {
    for path in ["/echo", "/changes", "/sends", "/returns", "/idle"] {
        let server = TestServer::new(|sessions| sessions);
        server.accept("t0k", "alice", HOUR);
        let mut pipe = server.client(HttpVersion::Http1).pipe();
        let head = raw_handshake(
            &format!("GET {path} HTTP/1.1"),
            "Authorization: Bearer t0k\r\n",
        );
        let close = frame(0x88, &1000_u16.to_be_bytes());
        let bytes = [head.as_bytes(), &close].concat();
        pipe.write_all(&bytes).await.unwrap();

        let mut answer = Vec::new();
        let reading = async { while pipe.read_buf(&mut answer).await.unwrap() > 0 {} };
        let ended = tokio::time::timeout(HOUR / 2, reading).await.is_ok();
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{path}: {answer:?}");
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
        assert_eq!(answer[head.unwrap() + 4..], CLOSE, "{path}");

        // A handler that never uses its socket keeps it until the session ends.
        assert_eq!(ended, path != "/idle", "{path}");
        if ended {
            let closed = "closed alice: client after 0 s";
            assert_eq!(server.events.all(), ["opened alice", closed], "{path}");
        }
        server.assert_counts_match();
    }
}

/// The close frame of a server: not masked, code 1000.
const CLOSE: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];
