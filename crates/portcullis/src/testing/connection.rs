//! Both ends of the in-memory pipe.

use std::error::Error;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::DuplexStream;
use tower_service::Service;

/// Serves `app` at this end, with the settings of `axum::serve`.
pub(super) fn serve<S, B>(app: S, io: DuplexStream)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    tokio::spawn(async move {
        #[cfg_attr(not(feature = "http2"), expect(unused_mut))]
        let mut server = auto::Builder::new(TokioExecutor::new());
        #[cfg(feature = "http2")]
        server.http2().enable_connect_protocol();
        let service = TowerToHyperService::new(app);
        // It fails when the client disconnects, which is not an error of the test.
        let _ = server
            .serve_connection_with_upgrades(TokioIo::new(io), service)
            .await;
    });
}

/// Sends a request over HTTP/1.1 from the other end.
pub(super) async fn http1(
    io: DuplexStream,
    request: Request<Bytes>,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = conn::http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request.map(Full::new)).await
}

/// Sends a request over HTTP/2 from the other end.
#[cfg(feature = "http2")]
pub(super) async fn http2(
    io: DuplexStream,
    request: Request<Bytes>,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) =
        conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await?;
    // The client may send an extended CONNECT only after the server's SETTINGS have arrived
    // (RFC 8441 §3). hyper does not report their arrival, so this polls.
    while !connection.is_extended_connect_protocol_enabled() && !sender.is_closed() {
        tokio::task::yield_now().await;
    }
    tokio::spawn(connection);
    sender.send_request(request.map(Full::new)).await
}
