use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Writes the log to the standard error: as much as `RUST_LOG` says, or the level `info`.
///
/// # Errors
///
/// None that a user could cause.
pub fn log() -> Result<(), ParseError> {
    // At `trace` tungstenite prints every message that it receives, and some of them are tokens.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter.add_directive("tungstenite=debug".parse()?))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
