//! FHIR R5 subscriptions over WebSocket, and FHIRcast, behind portcullis.
//!
//! ```sh
//! cargo run -p fhir-subscriptions -- --user 'alice=s3cret:fhircast/*.read,fhircast/*.write'
//! ```
//!
//! ```text
//! options ─▶ app ─┬▶ auth      who may come in ─▶ binding   the tokens of sockets
//!                 ├▶ page      a subscription in the browser
//!                 ├▶ rest ────┬▶ store    events, numbered under one lock
//!                 ├▶ socket ──┘
//!                 └▶ fhircast  another way with the same end
//! ```
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

/// How long clients may take to hear a goodbye.
const GOODBYES: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    example_support::init_tracing()?;
    let options = Options::parse();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let address = listener.local_addr()?;
    let app = App::new(&options, address);
    let service = app::service(&app, &options)?;
    let stop = example_support::shutdown_signal()?;
    println!("FHIR R5 subscriptions: http://{address}/");
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    // An open socket is no request any more: nobody else waits for it.
    let sockets = async {
        stop.cancelled().await;
        app.sessions.shutdown(GOODBYES).await;
        Ok(())
    };
    tokio::try_join!(server.into_future(), sockets)?;
    Ok(())
}
