//! Benchmarks that compare portcullis with the code that its users would otherwise write.

mod admission;
mod callgrind;
mod client;
mod handshake;
mod load;
mod page;
mod pin;
mod process;
mod report;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

fn main() -> ExitCode {
    match Arguments::parse().command.unwrap_or(Command::All).run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Compares portcullis with the code that its users would otherwise write.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures everything except `load`, and writes the results to `docs/benchmarks.md` (default).
    All,

    /// Counts instructions and allocations of admission by carrier and verifier.
    Admission {
        /// Measures only rows with this text in their name.
        #[arg(default_value = "")]
        filter: String,
    },

    /// Fails if a budget of instructions or allocations is exceeded.
    Check,

    /// Counts the instructions of rows by function.
    Functions {
        /// Measures only rows with this text in their name.
        filter: String,
    },

    /// Measures the CPU time of a handshake and the memory of a socket, for several servers.
    Handshake {
        /// The number of turns of one second for each server.
        #[arg(long, default_value_t = TURNS)]
        turns: u32,
    },

    /// Measures thousands of guarded sockets, and writes the results to `docs/load.md`.
    Load {
        /// Measures only this part.
        part: Option<load::Part>,

        /// Fails if a goal is missed, and does not change the page.
        #[arg(long)]
        check: bool,
    },

    /// Measures the time to open a sealed cookie and a private cookie of axum-extra.
    Opening,

    /// Runs a row, for callgrind.
    #[command(hide = true)]
    Rounds {
        row: String,
        rounds: u32,
        /// Sends the request through a layer that does nothing.
        #[arg(long)]
        nothing: bool,
    },

    /// Runs a server, for `handshake`.
    #[command(hide = true)]
    Serve { kind: handshake::Kind },

    /// Runs a server, for `load`.
    #[command(hide = true)]
    ServeLoad(load::Setup),
}

const TURNS: u32 = 15;

impl Command {
    fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::All => all()?,
            Self::Admission { filter } => {
                println!("{}", admission::table(&admission::measure(&filter)?));
            }
            Self::Check => return check(),
            Self::Functions { filter } => {
                print!("{}", admission::functions_of(&admission::measure(&filter)?));
            }
            Self::Handshake { turns } => println!("{}", handshake::table(turns)?),
            Self::Load { part, check } => return load::run(part, check),
            Self::Opening => println!("{}", admission::opening_table()?),
            Self::Rounds {
                row,
                rounds,
                nothing,
            } => admission::run(&row, rounds, nothing),
            Self::Serve { kind } => handshake::serve(kind)?,
            Self::ServeLoad(setup) => load::serve(&setup)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn all() -> Result<(), Box<dyn Error>> {
    let rows = admission::measure("")?;
    let exceeded = admission::exceeded(&rows);
    let functions = match exceeded.is_empty() {
        true => "No row exceeds its budget.".to_owned(),
        false => admission::functions_of(exceeded),
    };
    publish("admission", &admission::table(&rows).to_string())?;
    publish("functions", &functions)?;
    publish("opening", &admission::opening_table()?.to_string())?;
    publish("handshake", &handshake::table(TURNS)?.to_string())?;
    Ok(())
}

/// Prints a table and writes it to `docs/benchmarks.md`.
fn publish(name: &str, text: &str) -> Result<(), Box<dyn Error>> {
    println!("{text}");
    Ok(page::write("benchmarks.md", name, text)?)
}

fn check() -> Result<ExitCode, Box<dyn Error>> {
    let rows = admission::measure("")?;
    println!("{}", admission::table(&rows));
    let exceeded = admission::exceeded(&rows);
    for row in &exceeded {
        eprintln!("budget exceeded: {row}");
    }
    let handshake = handshake::Check::measure()?;
    println!("{}", handshake.table());
    if handshake.is_exceeded() {
        eprintln!("budget exceeded: a guarded handshake");
    }
    Ok(match exceeded.is_empty() && !handshake.is_exceeded() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
