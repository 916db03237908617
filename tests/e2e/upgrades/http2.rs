use std::future::poll_fn;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, StatusCode, header};
use tokio::net::TcpStream;

use super::{Attempt, PING, PONG, Target};

/// Asserts that the stream ends without a pong, and that the connection serves the next stream.
pub(super) async fn assert_refused(target: &Target<'_>, attempt: &Attempt) {
    let what = format!("{}, {}", target.path, attempt.name);
    let mut sender = connect(target).await;
    let (response, mut stream) = upgrade(&mut sender, target, attempt);
    // An error means that the stream was already refused.
    let _ = stream.send_data(Bytes::from_static(PING), false);
    let response = response.await.expect("a response");
    let status = response.status();
    assert!(status.is_client_error(), "{what}: {status}");
    assert_eq!(
        response.headers()[header::CACHE_CONTROL],
        "no-store",
        "{what}"
    );
    let received = received(response.into_body(), |_| false).await;
    assert!(!received.ends_with(PONG), "{what}: the socket sends a pong");
    assert_eq!(
        public_page(&mut sender, target).await,
        StatusCode::OK,
        "{what}"
    );
}

/// Asserts that the upgrade and a ping get a 200 and a pong.
pub(super) async fn assert_usable(target: &Target<'_>, attempt: &Attempt) {
    let mut sender = connect(target).await;
    let (response, mut stream) = upgrade(&mut sender, target, attempt);
    let response = response.await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK, "{}", target.path);
    stream
        .send_data(Bytes::from_static(PING), false)
        .expect("the stream is open");
    let received = received(response.into_body(), |received| received.ends_with(PONG)).await;
    assert!(
        received.ends_with(PONG),
        "{}: no pong in {received:?}",
        target.path
    );
}

/// Opens a connection and waits for its settings: before, a client must not send an extended CONNECT.
async fn connect(target: &Target<'_>) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(target.server.authority())
        .await
        .expect("the server listens");
    let (mut sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    assert_eq!(public_page(&mut sender, target).await, StatusCode::OK);
    assert!(
        sender.is_extended_connect_protocol_enabled(),
        "WebSockets over HTTP/2"
    );
    sender
}

fn upgrade(
    sender: &mut SendRequest<Bytes>,
    target: &Target<'_>,
    attempt: &Attempt,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!(
            "{}{}{}",
            target.server.base(),
            target.path,
            attempt.query
        ))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"));
    for (name, value) in &attempt.headers {
        request = request.header(*name, value);
    }
    let request = request.body(()).expect("a request");
    sender.send_request(request, false).expect("a stream")
}

async fn public_page(sender: &mut SendRequest<Bytes>, target: &Target<'_>) -> StatusCode {
    let url = format!("{}{}", target.server.base(), target.public);
    let request = Request::get(url).body(()).expect("a request");
    poll_fn(|context| sender.poll_ready(context))
        .await
        .expect("the connection is open");
    let (response, _) = sender.send_request(request, true).expect("a stream");
    response.await.expect("a response").status()
}

/// Returns the data until `enough` accepts it or the stream ends, by its last frame or by a reset.
async fn received(mut body: RecvStream, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut received = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        received.extend_from_slice(&data);
        if enough(&received) {
            break;
        }
    }
    received
}
