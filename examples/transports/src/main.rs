//! A WebSocket server with one route for each carrier and each dialect of portcullis.
//!
//! ```sh
//! cargo run -p transports -- --port 9000 --user alice=s3cret --user root=hunter2:admin
//! ```
//!
//! The page at `/` opens a socket on each of these routes in the browser.
//!
//! | module | contents |
//! |---|---|
//! | `auth` | the verifiers, the sessions and the auth layers of all routes |
//! | `handshake` | routes that read the credential from the handshake |
//! | `dialects` | routes that read the credential from a message |
//! | `echo` | the handler of most sockets |
//! | `tickets` | HTTP endpoints that mint tickets and renew sessions |
//! | `sessions` | HTTP endpoints that list and revoke sessions, for administrators |
//! | `page` | the files of the page |
//!
//! The crate `example-support` contains what the examples share.

mod auth;
mod dialects;
mod echo;
mod handshake;
mod options;
mod page;
mod problem;
mod sessions;
mod tickets;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use clap::Parser;
use portcullis::trace::redacting_span;
use tokio::net::TcpListener;
use tower_http::trace::TraceLayer;

use crate::auth::Auth;
use crate::options::Options;

/// How long clients may take to close their sockets when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    example_support::init_tracing()?;
    let options = Options::parse();

    // The second port is a second origin. The page uses it to show what a page of another origin
    // can do.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let cross_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.cross_port)).await?;
    let port = listener.local_addr()?.port();
    let cross_port = cross_listener.local_addr()?.port();

    let auth = Auth::new(&options)?;
    auth.synchronized().await?;
    let app = Router::new()
        .merge(handshake::routes(&auth)?)
        .merge(dialects::routes(&auth)?)
        .merge(tickets::routes(&auth)?)
        .merge(sessions::routes(&auth)?)
        .merge(page::routes(&options, port, cross_port))
        .layer(TraceLayer::new_for_http().make_span_with(redacting_span))
        .into_make_service_with_connect_info::<SocketAddr>();

    let shutdown = example_support::shutdown_signal()?;
    println!("Listening on http://127.0.0.1:{port}/");
    println!("Second origin: http://127.0.0.1:{cross_port}/");
    let server = axum::serve(listener, app.clone())
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let cross_server =
        axum::serve(cross_listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    // axum's graceful shutdown does not wait for upgraded connections.
    let close_sockets = async {
        shutdown.cancelled().await;
        Ok(auth.sessions().shutdown(SHUTDOWN_TIMEOUT).await)
    };
    let (_, _, unclosed) = tokio::try_join!(
        server.into_future(),
        cross_server.into_future(),
        close_sockets
    )?;
    if unclosed > 0 {
        tracing::warn!(unclosed, "sockets were still open at shutdown");
    }
    Ok(())
}
