use portcullis_e2e::RawConnection;

use super::{Attempt, PING, PONG, Target};

/// Sends the upgrade, another request and a frame before it reads the response, as request smuggling
/// does. Asserts that only the refusal arrives.
pub(super) async fn assert_refused(target: &Target<'_>, attempt: &Attempt) {
    let what = format!("{}, {}", target.path, attempt.name);
    let mut connection = RawConnection::open(target.server.authority()).await;
    let next = page(target, "");
    let bytes = [upgrade(target, attempt).as_bytes(), next.as_bytes(), PING].concat();
    connection.send(&bytes).await;
    // This ends only when the server closes the connection.
    let answer = connection.rest().await;
    let statuses = statuses(&answer);
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    let [status] = statuses.as_slice() else {
        panic!("{what}: expected one response: {answer}");
    };
    assert!(status.starts_with('4'), "{what}: {status}");
    assert!(
        answer.contains("\r\nconnection: close\r\n"),
        "{what}: {answer}"
    );
    assert!(
        answer.contains("\r\ncache-control: no-store\r\n"),
        "{what}: {answer}"
    );
}

/// Asserts that the upgrade and a ping get a 101 and a pong.
pub(super) async fn assert_usable(target: &Target<'_>, attempt: &Attempt) {
    let mut connection = RawConnection::open(target.server.authority()).await;
    connection
        .send(&[upgrade(target, attempt).as_bytes(), PING].concat())
        .await;
    let head = connection.until(b"\r\n\r\n").await;
    let head = String::from_utf8_lossy(&head);
    assert!(head.starts_with("HTTP/1.1 101 "), "{}: {head}", target.path);
    connection.until(PONG).await;
}

/// Asserts that two pipelined requests get two responses.
pub(super) async fn assert_pipelines(target: &Target<'_>) {
    let mut connection = RawConnection::open(target.server.authority()).await;
    let (first, last) = (page(target, ""), page(target, "Connection: close\r\n"));
    connection.send(format!("{first}{last}").as_bytes()).await;
    assert_eq!(statuses(&connection.rest().await), ["200", "200"]);
}

fn page(target: &Target<'_>, header: &str) -> String {
    let Target { server, public, .. } = target;
    format!(
        "GET /{public} HTTP/1.1\r\nHost: {}\r\n{header}\r\n",
        server.authority()
    )
}

fn upgrade(target: &Target<'_>, attempt: &Attempt) -> String {
    let mut head = format!(
        "GET /{}{} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        target.path,
        attempt.query,
        target.server.authority()
    );
    for (name, value) in &attempt.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n"
}

/// Returns the status of each response.
fn statuses(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    text.split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer.chars().take(3).collect())
        .collect()
}
