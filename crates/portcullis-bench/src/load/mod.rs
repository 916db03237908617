//! Load tests: the cost of thousands of guarded sockets in one process, and the time to close them.
//!
//! The server is a separate process on one core, and all clients are in this process on another.
//! Times are measured here, from a command to the server until a client has received its effect.

mod clients;
mod closing;
mod echo;
mod memory;
mod pending;
mod remote;
mod result;
mod server;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::ValueEnum;
use rustix::process::{Resource, getrlimit, setrlimit};

use self::result::Measurement;
pub(crate) use self::server::{Setup, serve};
use crate::page;
use crate::pin::{CLIENTS, pin};

/// A table of `docs/load.md`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Part {
    /// Resident memory of a guarded and of a bare socket.
    Memory,

    /// Instructions of an echo through a guarded and through a bare socket.
    Echo,

    /// The time to close sockets after a revocation and at their deadline.
    Ends,

    /// Pending sockets of clients that never authenticate.
    Pending,
}

/// Measures, and writes the results to `docs/load.md`. With `check`, fails instead if a goal is missed.
pub(crate) fn run(part: Option<Part>, check: bool) -> Result<ExitCode, Box<dyn Error>> {
    allow_open_files()?;
    pin(None, CLIENTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let parts = part.map_or_else(|| Part::value_variants().to_vec(), |part| vec![part]);
    let mut missed = Vec::new();
    for part in parts {
        let measurements = runtime.block_on(part.measure())?;
        let table = result::table(&measurements);
        println!("{table}");
        if !check {
            page::write("load.md", part.name(), &table.to_string())?;
        }
        missed.extend(measurements.into_iter().filter(Measurement::is_missed));
    }
    for measurement in &missed {
        eprintln!("goal missed: {measurement}");
    }
    Ok(match check && !missed.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

impl Part {
    async fn measure(self) -> Result<Vec<Measurement>, Box<dyn Error>> {
        match self {
            Self::Memory => memory::measure().await,
            Self::Echo => echo::measure().await,
            Self::Ends => closing::measure().await,
            Self::Pending => pending::measure().await,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Echo => "echo",
            Self::Ends => "ends",
            Self::Pending => "pending",
        }
    }
}

/// Raises the limit of open files, which is usually 1,024. Every socket is an open file.
fn allow_open_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// The number of open sockets.
const SOCKETS: usize = 15_000;

/// The number of open sockets of one subject.
const PER_SUBJECT: usize = 100;
