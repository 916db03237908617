use std::future::poll_fn;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, StatusCode, header};
use tokio::net::TcpStream;

use super::{Attempt, PING, PONG, Target};

/// The stream ends without an answer to the ping, and the connection serves the next one.
pub(super) async fn assert_refused(target: &Target<'_>, attempt: &Attempt) {
    let what = format!("{}, {}", target.path, attempt.name);
    let mut sender = connect(target).await;
    let (response, mut stream) = upgrade(&mut sender, target, attempt);
    // It may be refused by now: then there is nothing to send it to.
    let _ = stream.send_data(Bytes::from_static(PING), false);
    let response = response.await.expect("an answer");
    let status = response.status();
    assert!(status.is_client_error(), "{what}: {status}");
    assert_eq!(
        response.headers()[header::CACHE_CONTROL],
        "no-store",
        "{what}"
    );
    let received = received(response.into_body(), |_| false).await;
    assert!(!received.ends_with(PONG), "{what}: the socket answers");
    assert_eq!(
        public_page(&mut sender, target).await,
        StatusCode::OK,
        "{what}"
    );
}

/// The upgrade and a ping get a 200 and a pong.
pub(super) async fn assert_usable(target: &Target<'_>, attempt: &Attempt) {
    let mut sender = connect(target).await;
    let (response, mut stream) = upgrade(&mut sender, target, attempt);
    let response = response.await.expect("an answer");
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

/// A connection whose settings have come: before that, nobody may send an extended CONNECT.
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
        .expect("the connection lives");
    let (response, _) = sender.send_request(request, true).expect("a stream");
    response.await.expect("an answer").status()
}

/// What comes until it is `enough` or the stream ends: with its last frame, or with a reset that
/// asks for no more data.
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
