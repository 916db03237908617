//! Benchmarks of portcullis, side by side with what its users would write without it.

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

/// Benchmarks of portcullis, side by side with what its users would write without it.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything, also into `docs/benchmarks.md`. What is done if nothing is said.
    All,

    /// Instructions and allocations of admission, by carrier and verifier.
    Admission {
        /// Only rows whose name contains this.
        #[arg(default_value = "")]
        filter: String,
    },

    /// Fails if a budget of instructions or allocations is broken. Looks at no time.
    Check,

    /// Where the instructions of a row go.
    Functions {
        /// The rows whose name contains this.
        filter: String,
    },

    /// Processor time of a handshake and memory of a socket, beside axum alone and beside peers.
    Handshake {
        /// So often each server has its turn, of a second.
        #[arg(long, default_value_t = TURNS)]
        turns: u32,
    },

    /// Thousands of guarded sockets: their memory, their ends, and those who never say who they
    /// are; also into `docs/load.md`.
    Load {
        /// Only this part.
        part: Option<load::Part>,

        /// Fails if a goal is missed, and leaves the page as it is.
        #[arg(long)]
        check: bool,
    },

    /// The time to open a sealed cookie, beside axum-extra's encrypted one.
    Opening,

    /// Runs a row, for callgrind.
    #[command(hide = true)]
    Rounds {
        row: String,
        rounds: u32,
        /// The same request through a layer that does nothing.
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
    let broken = admission::broken(&rows);
    let functions = match broken.is_empty() {
        true => "No row is over its budget.".to_owned(),
        false => admission::functions_of(broken),
    };
    publish("admission", &admission::table(&rows).to_string())?;
    publish("functions", &functions)?;
    publish("opening", &admission::opening_table()?.to_string())?;
    publish("handshake", &handshake::table(TURNS)?.to_string())?;
    Ok(())
}

/// Prints a table and puts it into the docs.
fn publish(name: &str, text: &str) -> Result<(), Box<dyn Error>> {
    println!("{text}");
    Ok(page::write("benchmarks.md", name, text)?)
}

fn check() -> Result<ExitCode, Box<dyn Error>> {
    let rows = admission::measure("")?;
    println!("{}", admission::table(&rows));
    let broken = admission::broken(&rows);
    for row in &broken {
        eprintln!("over its budget: {row}");
    }
    Ok(match broken.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
