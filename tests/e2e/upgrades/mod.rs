//! A refused upgrade leaves no usable socket, as seen from the bytes on the wire.

mod attempt;
mod http1;
mod http2;

use portcullis_e2e::Server;

use self::attempt::{Attempt, admitted, refused, refused_anywhere};
use crate::kernels;

/// A masked ping of a client without payload, and the pong.
const PING: &[u8] = &[0x89, 0x80, 1, 2, 3, 4];
const PONG: &[u8] = &[0x8a, 0x00];

/// The target of an upgrade.
struct Target<'a> {
    server: &'a Server,
    /// The path of the socket.
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

    fn any_carrier(server: &'a Server) -> Self {
        Self {
            server,
            path: "ws/any".to_owned(),
            public: "",
        }
    }
}

#[tokio::test]
async fn a_refused_http1_upgrade_gets_one_response_and_is_closed() {
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
        http1::assert_refused(&Target::any_carrier(&server), &attempt).await;
    }
}

#[tokio::test]
async fn a_refused_http2_upgrade_ends_only_its_stream() {
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
        http2::assert_refused(&Target::any_carrier(&server), &attempt).await;
    }
}

/// The control of both tests above: with a valid credential the same bytes open a usable socket.
#[tokio::test]
async fn an_admitted_upgrade_opens_a_usable_socket() {
    let server = Server::kernels().start();
    http1::assert_usable(&Target::events(&server), &admitted(&server)).await;
    http2::assert_usable(&Target::events(&server), &admitted(&server)).await;
    let server = Server::transports().start();
    http1::assert_usable(&Target::any_carrier(&server), &admitted(&server)).await;
    http2::assert_usable(&Target::any_carrier(&server), &admitted(&server)).await;
}

/// The other control: the server answers pipelined requests if no upgrade was refused before.
#[tokio::test]
async fn pipelined_requests_without_an_upgrade_are_answered() {
    let server = Server::kernels().start();
    http1::assert_pipelines(&Target::events(&server)).await;
    let server = Server::transports().start();
    http1::assert_pipelines(&Target::any_carrier(&server)).await;
}
