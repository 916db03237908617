//! A refused upgrade leaves nothing that could be used, seen from the bytes on the wire.

mod attempt;
mod http1;
mod http2;

use portcullis_e2e::Server;

use self::attempt::{Attempt, admitted, refused, refused_anywhere};
use crate::kernels;

/// A masked ping without a payload, as a client sends it, and the answer.
const PING: &[u8] = &[0x89, 0x80, 1, 2, 3, 4];
const PONG: &[u8] = &[0x8a, 0x00];

/// What an upgrade is sent to.
struct Target<'a> {
    server: &'a Server,
    /// The socket's path.
    path: String,
    /// A page that needs no credential.
    public: &'static str,
}

impl<'a> Target<'a> {
    fn kernel(server: &'a Server, id: &str) -> Self {
        Self {
            server,
            path: kernels::channels(id),
            public: "api",
        }
    }

    fn events(server: &'a Server) -> Self {
        Self {
            server,
            path: "api/events/subscribe".to_owned(),
            public: "api",
        }
    }

    fn any_way(server: &'a Server) -> Self {
        Self {
            server,
            path: "ws/any".to_owned(),
            public: "",
        }
    }
}

#[tokio::test]
async fn a_refused_http1_upgrade_is_answered_once_and_closed() {
    for server in [Server::kernels(), Server::kernels().compat()] {
        let server = server.start();
        let kernel = kernels::start(server.base(), server.token()).await;
        for attempt in refused(&server).await {
            http1::assert_refused(&Target::kernel(&server, &kernel), &attempt).await;
            http1::assert_refused(&Target::events(&server), &attempt).await;
        }
    }
    let server = Server::transports().start();
    for attempt in refused_anywhere(&server) {
        http1::assert_refused(&Target::any_way(&server), &attempt).await;
    }
}

#[tokio::test]
async fn a_refused_http2_upgrade_ends_its_stream_and_no_other() {
    for server in [Server::kernels(), Server::kernels().compat()] {
        let server = server.start();
        let kernel = kernels::start(server.base(), server.token()).await;
        for attempt in refused(&server).await {
            http2::assert_refused(&Target::kernel(&server, &kernel), &attempt).await;
            http2::assert_refused(&Target::events(&server), &attempt).await;
        }
    }
    let server = Server::transports().start();
    for attempt in refused_anywhere(&server) {
        http2::assert_refused(&Target::any_way(&server), &attempt).await;
    }
}

/// The control of both tests above: the same bytes open a usable socket with a good credential.
#[tokio::test]
async fn an_admitted_upgrade_opens_a_usable_socket() {
    let server = Server::kernels().start();
    http1::assert_usable(&Target::events(&server), &admitted(&server)).await;
    http2::assert_usable(&Target::events(&server), &admitted(&server)).await;
    let server = Server::transports().start();
    http1::assert_usable(&Target::any_way(&server), &admitted(&server)).await;
    http2::assert_usable(&Target::any_way(&server), &admitted(&server)).await;
}

/// The other control: a request that waits behind another one is served, unless an upgrade was
/// refused before it.
#[tokio::test]
async fn pipelined_requests_are_served_otherwise() {
    let server = Server::kernels().start();
    http1::assert_pipelines(&Target::events(&server)).await;
    let server = Server::transports().start();
    http1::assert_pipelines(&Target::any_way(&server)).await;
}
