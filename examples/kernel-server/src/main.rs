//! A Jupyter-like kernel server behind portcullis.
//!
//! ```text
//! options ─▶ app ─┬▶ auth      who may come in ─▶ share
//!                 ├▶ live      who is in, and for how long ─▶ audit
//!                 ├▶ page      the notebook in the browser
//!                 └▶ api ─┬▶ kernel    code that runs
//!                         ├▶ channels  its WebSocket ─▶ wire
//!                         ├▶ sessions  which notebook has which kernel
//!                         └▶ events    what happens to kernels
//! ```
//!
//! The crate `example-support` contains what the examples share.

mod api;
mod app;
mod audit;
mod auth;
mod channels;
mod events;
mod kernel;
mod live;
mod options;
mod page;
mod sessions;
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
use crate::kernel::KernelSpecs;
use crate::live::Live;
use crate::options::{Options, Token};

/// How long answers that are under way may take when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

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
    let served = serve(options, audit.clone());
    // The runtime is gone, and with it all that could happen to a session.
    audit.finish();
    served
}

#[tokio::main]
async fn serve(options: &Options, audit: AuditLog) -> Result<(), Box<dyn Error>> {
    let token = options.token()?;
    let specs = KernelSpecs::new(options.kernel.clone());
    let default = specs
        .find(None)
        .ok_or("there is no kernelspec of this name")?;
    let listener = TcpListener::bind((options.ip, options.port)).await?;
    let live = Live::open(options.redis.as_deref(), audit)?;
    live.ready().await?;
    let app = App::new(specs, live);
    let stopping = app.stopping.clone();
    let stop = example_support::shutdown_signal()?;
    let address = listener.local_addr()?;
    let service = app::service(&app, options, &token.secret, address)?;

    // Messages are small, and each is waited for.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let service = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(service);
    let server = axum::serve(listener, service)
        .with_graceful_shutdown(async move { stopping.cancelled().await });
    let server = tokio::spawn(server.into_future());
    welcome(address, &token, &default.display_name)?;
    stop.cancelled().await;
    tracing::info!("stopping");
    app.stop().await;
    match timeout(LAST_ANSWERS, server).await {
        Ok(served) => Ok(served??),
        Err(_) => Ok(()),
    }
}

/// Prints what one needs to know to get in. A token that was given is not repeated.
fn welcome(mut address: SocketAddr, token: &Token, kernel: &str) -> io::Result<()> {
    // Nobody can go to the address that stands for all of them.
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
