//! A Jupyter-like kernel server behind portcullis.
//!
//! ```text
//! options ─▶ app ─┬▶ auth         credentials and the authentication layers ─▶ share, refusal
//!                 ├▶ connections  open sockets: tickets, renewal, revocation ─▶ audit
//!                 ├▶ page         the notebook in the browser
//!                 └▶ api ─┬▶ kernel             processes and interpreters that run code
//!                         ├▶ channels           the WebSocket of a kernel ─▶ wire
//!                         ├▶ notebook_sessions  which notebook uses which kernel
//!                         └▶ events             starts, restarts and shutdowns of kernels
//! ```
//!
//! `auth` shows how portcullis is set up. The crate `example-support` contains the code that the
//! examples share.

mod api;
mod app;
mod audit;
mod auth;
mod channels;
mod connections;
mod events;
mod kernel;
mod notebook_sessions;
mod options;
mod page;
mod refusal;
mod share;
#[cfg(test)]
mod tests;
mod wire;

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::Request;
use axum::serve::ListenerExt;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::app::App;
use crate::audit::AuditLog;
use crate::connections::Connections;
use crate::kernel::KernelSpecs;
use crate::options::{Options, Token};

/// How long pending HTTP responses may take when the server stops.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kernel-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    example_support::init_tracing()?;
    let audit = match &options.audit_log {
        Some(path) => AuditLog::open(path).map_err(|error| format!("--audit-log: {error}"))?,
        None => AuditLog::default(),
    };
    let result = serve(options, audit.clone());
    // The runtime has ended, so no session can write another line.
    audit.finish();
    result
}

#[tokio::main]
async fn serve(options: &Options, audit: AuditLog) -> Result<(), Box<dyn Error>> {
    let token = options.token()?;
    let specs = KernelSpecs::new(options.kernel.clone());
    let default = specs
        .find(None)
        .ok_or("--kernel: there is no kernelspec with this name")?;
    let listener = TcpListener::bind((options.ip, options.port)).await?;
    let connections = Connections::new(options.redis.as_deref(), audit)?;
    connections.ready().await?;
    let app = App::new(specs, connections);
    let stopping = app.stopping.clone();
    let stop = example_support::shutdown_signal()?;
    let address = listener.local_addr()?;
    let service = app::service(&app, options, &token.secret, address)?;

    // Messages are small, and a client waits for each of them.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    let service = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(service);
    let server = axum::serve(listener, service)
        .with_graceful_shutdown(async move { stopping.cancelled().await });
    let server = tokio::spawn(server.into_future());
    print_link(address, &token, &default.display_name)?;
    stop.cancelled().await;
    tracing::info!("stopping");
    app.stop().await;
    match timeout(RESPONSE_TIMEOUT, server).await {
        Ok(served) => Ok(served??),
        Err(_) => Ok(()),
    }
}

/// Prints the link to the page. It contains the token only if the server generated it.
fn print_link(mut address: SocketAddr, token: &Token, kernel: &str) -> io::Result<()> {
    // Not every browser can open 0.0.0.0 or [::].
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let shown = match token.is_generated {
        true => &*token.secret,
        false => "...",
    };
    let mut stdout = io::stdout().lock();
    writeln!(
        stdout,
        "Kernel server, with {kernel} as the default kernel. Open this link:\n"
    )?;
    writeln!(stdout, "    http://{address}/?token={shown}\n")?;
    writeln!(
        stdout,
        "Ctrl-C stops it and all its kernels; --help lists the options."
    )?;
    stdout.flush()
}
