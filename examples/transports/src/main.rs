//! Every way a credential can reach a WebSocket, each on a route of its own.
//!
//! ```sh
//! cargo run -p transports -- --port 9000 --user alice=s3cret --user root=hunter2:admin
//! ```
//!
//! The page at `/` tries them all in the browser. `auth.rs` says who may come in, and `ways.rs` has
//! the sockets that a handshake opens; `dialects/` has those that a message opens, and `hello.rs` is
//! what they answer. `tickets.rs` and `sessions.rs` are the HTTP side: tickets and renewals for
//! everybody, the list and revocations for an administrator. `page.rs` serves the page.

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
use tracing_subscriber::EnvFilter;

use crate::auth::Auth;
use crate::options::Options;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // At `trace` tungstenite prints every message that it receives, and some of them are tokens.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter.add_directive("tungstenite=debug".parse()?))
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();

    // A second port is a second origin. The page tries to use it as a hostile page would.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let cross = TcpListener::bind((Ipv4Addr::LOCALHOST, options.cross_port)).await?;
    let (port, cross_port) = (listener.local_addr()?.port(), cross.local_addr()?.port());

    let auth = Auth::new(&options)?;
    auth.synchronized().await;
    let app = Router::new()
        .merge(ways::routes(&auth)?)
        .merge(dialects::routes(&auth)?)
        .merge(tickets::routes(&auth)?)
        .merge(sessions::routes(&auth)?)
        .merge(page::routes(&options, port, cross_port))
        .layer(TraceLayer::new_for_http().make_span_with(redacting_span))
        .into_make_service_with_connect_info::<SocketAddr>();

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

/// Ends with Ctrl-C, and with the signal that service managers send.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return,
                _ = terminate.recv() => return,
            }
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// How long sockets may take to hear that the server ends.
const FAREWELL: Duration = Duration::from_secs(5);
