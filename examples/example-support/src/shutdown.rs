use std::io;

use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled by Ctrl-C or, on Unix, by `SIGTERM`.
///
/// The signal handlers are installed before this function returns, so a signal that arrives before
/// the caller awaits the token is not lost.
///
/// # Errors
///
/// Fails if a signal handler cannot be installed.
pub fn shutdown_signal() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let signal = signal()?;
    tokio::spawn({
        let token = token.clone();
        async move {
            signal.await;
            token.cancel();
        }
    });
    Ok(token)
}

#[cfg(unix)]
fn signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
