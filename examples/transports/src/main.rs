//! Every way a credential can reach a WebSocket, each on a route of its own.
//!
//! ```sh
//! cargo run -p transports -- --port 9000 --user alice=s3cret --user root=hunter2:admin
//! ```
//!
//! The page at `/` tries them all in the browser. `auth.rs` says who may come in, and `ways.rs` has
//! the sockets that a handshake opens; `dialects/` has those that a message opens, and `hello.rs` is
//! what they answer. `tickets.rs` and `sessions.rs` are the HTTP side: tickets and renewals for
//! everybody, the list and revocations for an administrator. `page.rs` serves the page. What has
//! nothing to do with any of this is in the crate `example-support`.

mod auth;
mod dialects;
mod hello;
mod options;
mod page;
mod problem;
mod sessions;
mod tickets;
mod ways;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use clap::Parser;
use portcullis::redacting_span;
use tokio::net::TcpListener;
use tower_http::trace::TraceLayer;

use crate::auth::Auth;
use crate::options::Options;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    example_support::init_tracing()?;
    let options = Options::parse();

    // A second port is a second origin. The page tries to use it as a hostile page would.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let cross = TcpListener::bind((Ipv4Addr::LOCALHOST, options.cross_port)).await?;
    let (port, cross_port) = (listener.local_addr()?.port(), cross.local_addr()?.port());

    let auth = Auth::new(&options)?;
    auth.ready().await?;
    let app = Router::new()
        .merge(ways::routes(&auth)?)
        .merge(dialects::routes(&auth)?)
        .merge(tickets::routes(&auth)?)
        .merge(sessions::routes(&auth)?)
        .merge(page::routes(&options, port, cross_port))
        .layer(TraceLayer::new_for_http().make_span_with(redacting_span))
        .into_make_service_with_connect_info::<SocketAddr>();

    let stop = example_support::shutdown_signal()?;
    let stopped = || stop.clone().cancelled_owned();
    println!("Every way in: http://127.0.0.1:{port}/");
    println!("As a foreign origin: http://127.0.0.1:{cross_port}/");
    let first = axum::serve(listener, app.clone()).with_graceful_shutdown(stopped());
    let second = axum::serve(cross, app).with_graceful_shutdown(stopped());
    // An open socket is no request any more: nobody else waits for it.
    let sockets = async {
        stopped().await;
        Ok(auth.sessions().shutdown(FAREWELL).await)
    };
    let (_, _, left) = tokio::try_join!(first.into_future(), second.into_future(), sockets)?;
    if left > 0 {
        tracing::warn!(left, "sockets had to be cut off");
    }
    Ok(())
}

/// How long sockets may take to hear that the server ends.
const FAREWELL: Duration = Duration::from_secs(5);
