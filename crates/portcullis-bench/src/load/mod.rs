//! Load: what thousands of guarded sockets in one process cost, and how they end.
//!
//! The server is a process of its own with all the sockets, on one core; this process holds all the
//! clients, on another. Every time is taken here: from the moment when the server is told something
//! until a client has seen what comes of it.

mod crowd;
mod echo;
mod ends;
mod figure;
mod memory;
mod pending;
mod remote;
mod server;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::ValueEnum;
use rustix::process::{Resource, getrlimit, setrlimit};

use self::figure::Figure;
pub(crate) use self::server::{Setup, serve};
use crate::page;
use crate::pin::{LOAD, pin};

/// A table of `docs/load.md`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Part {
    /// Resident memory of a socket, guarded and bare.
    Memory,

    /// Instructions of an echo, guarded and bare.
    Echo,

    /// Revocations and deadlines: until clients hear of them, and until sockets are gone.
    Ends,

    /// Pending sockets that never speak.
    Pending,
}

/// Measures, and puts the figures into the docs; with `check` it judges them instead.
pub(crate) fn run(part: Option<Part>, check: bool) -> Result<ExitCode, Box<dyn Error>> {
    allow_open_files()?;
    pin(None, LOAD)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let parts = part.map_or_else(|| Part::value_variants().to_vec(), |part| vec![part]);
    let mut missed = Vec::new();
    for part in parts {
        let figures = runtime.block_on(part.measure())?;
        let table = figure::table(&figures);
        println!("{table}");
        if !check {
            page::write("load.md", part.name(), &table.to_string())?;
        }
        missed.extend(figures.into_iter().filter(Figure::is_missed));
    }
    for figure in &missed {
        eprintln!("missed: {figure}");
    }
    Ok(match check && !missed.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

impl Part {
    async fn measure(self) -> Result<Vec<Figure>, Box<dyn Error>> {
        match self {
            Self::Memory => memory::measure().await,
            Self::Echo => echo::measure().await,
            Self::Ends => ends::measure().await,
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

/// Every socket is an open file, and the usual limit is 1024.
fn allow_open_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// So many sockets one process has open.
const SOCKETS: usize = 15_000;

/// So many of them are of one subject.
const OF_A_SUBJECT: usize = 100;
