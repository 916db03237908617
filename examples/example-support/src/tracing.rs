use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Writes the log to standard error.
///
/// `RUST_LOG` selects the levels; without it, the level is `info`. The target `tungstenite` never
/// logs below `debug`: at `trace` it prints every received message, and some messages contain
/// tokens.
///
/// # Errors
///
/// Fails if the built-in directive for `tungstenite` does not parse.
///
/// # Panics
///
/// Panics if a global subscriber is already set.
pub fn init_tracing() -> Result<(), ParseError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter.add_directive("tungstenite=debug".parse()?))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
