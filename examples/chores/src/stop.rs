use std::io;

use tokio_util::sync::CancellationToken;

/// Is cancelled by Ctrl-C, and by the signal that service managers send. It listens from now on: a
/// signal that comes before somebody waits is not lost.
///
/// # Errors
///
/// If the operating system does not let it listen.
pub fn stopping() -> io::Result<CancellationToken> {
    let stopping = CancellationToken::new();
    let signalled = signalled()?;
    let token = stopping.clone();
    tokio::spawn(async move {
        signalled.await;
        token.cancel();
    });
    Ok(stopping)
}

#[cfg(unix)]
fn signalled() -> io::Result<impl Future<Output = ()>> {
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
fn signalled() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
