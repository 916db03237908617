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
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::options::Options;

/// How long clients may take to hear a goodbye.
const GOODBYES: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // At `trace` tungstenite prints every message it receives, and some of them are tokens.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter.add_directive("tungstenite=debug".parse()?))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let options = Options::parse();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    let address = listener.local_addr()?;
    let app = App::new(&options, address);
    let service = app::service(&app, &options)?;
    writeln!(io::stdout(), "FHIR R5 subscriptions: http://{address}/")?;
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(stopped());
    // An open socket is no request any more: nobody else waits for it.
    let sockets = async {
        stopped().await;
        app.sessions.shutdown(GOODBYES).await;
        Ok(())
    };
    tokio::try_join!(server.into_future(), sockets)?;
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
