//! The servers of this crate. Each has one route, and a handler that reads until the socket closes.

use std::error::Error;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::any;
use clap::ValueEnum;
use portcullis::{AuthLayer, GuardedUpgrade, StaticTokens};
use tokio::net::TcpSocket;

use crate::admission::{TOKEN, check_bearer};

/// The layer of a server, and the buffers of its sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// `WebSocketUpgrade` of axum with its default buffers.
    Bare,

    /// `WebSocketUpgrade` of axum with the buffers of `GuardedUpgrade`.
    BareSmall,

    /// `from_fn` and `WebSocketUpgrade` of axum with its default buffers.
    FromFn,

    /// `from_fn` and `WebSocketUpgrade` of axum with the buffers of `GuardedUpgrade`.
    FromFnSmall,

    /// `AuthLayer` and `GuardedUpgrade`.
    Guarded,
}

impl Kind {
    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareSmall => "bare-small",
            Self::FromFn => "from-fn",
            Self::FromFnSmall => "from-fn-small",
            Self::Guarded => "guarded",
        }
    }

    fn router(self) -> Result<Router, Box<dyn Error>> {
        let route = Router::new();
        Ok(match self {
            Self::Bare => route.route("/ws", any(bare)),
            Self::BareSmall => route.route("/ws", any(bare_small)),
            Self::FromFn => route
                .route("/ws", any(bare))
                .route_layer(from_fn(check_bearer)),
            Self::FromFnSmall => route
                .route("/ws", any(bare_small))
                .route_layer(from_fn(check_bearer)),
            Self::Guarded => route
                .route("/ws", any(guarded))
                .route_layer(AuthLayer::new(StaticTokens::new([("alice", TOKEN)])?)),
        })
    }
}

/// Serves on a free port, which it prints, until the process ends.
pub(crate) fn serve(kind: Kind) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener = socket.listen(1024)?;
        println!("{}", listener.local_addr()?);
        axum::serve(listener, kind.router()?).await?;
        Ok(())
    })
}

async fn bare(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(read)
}

async fn bare_small(upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .on_upgrade(read)
}

async fn guarded(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| while let Some(Ok(_)) = socket.recv().await {})
}

async fn read(mut socket: WebSocket) {
    while let Some(Ok(_)) = socket.recv().await {}
}
