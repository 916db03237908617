//! A server for FHIR R5 subscriptions over WebSocket, and for FHIRcast, behind portcullis.
//!
//! ```sh
//! cargo run -p fhir-subscriptions -- --user 'alice=s3cret:fhircast/*.read,fhircast/*.write'
//! ```
//!
//! The page at `/` subscribes and shows the notifications.
//!
//! | module | contents |
//! |---|---|
//! | `app` | the state of the server and its router |
//! | `auth` | the auth layers |
//! | `binding` | the tokens that bind subscriptions to a socket |
//! | `rest` | the REST API |
//! | `socket` | the WebSocket that sends notifications |
//! | `store` | encounters, subscriptions and events |
//! | `fhircast` | the FHIRcast hub |
//! | `page` | the files of the page |
//!
//! The crate `example-support` contains what the examples share.

mod app;
mod auth;
mod binding;
mod fhir;
mod fhircast;
mod options;
mod outcome;
mod page;
mod rest;
mod socket;
mod store;
#[cfg(test)]
mod tests;
mod topics;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;

use crate::app::App;
use crate::options::Options;

/// How long clients may take to close their sockets when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    example_support::init_tracing()?;
    let options = Options::parse();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let address = listener.local_addr()?;
    let app = App::new(&options, address);
    let service = app::router(&app, &options)?.into_make_service_with_connect_info::<SocketAddr>();
    let shutdown = example_support::shutdown_signal()?;
    println!("Listening on http://{address}/");
    let server =
        axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    // axum's graceful shutdown does not wait for upgraded connections.
    let close_sockets = async {
        shutdown.cancelled().await;
        app.sessions.shutdown(SHUTDOWN_TIMEOUT).await;
        Ok(())
    };
    tokio::try_join!(server.into_future(), close_sockets)?;
    Ok(())
}
