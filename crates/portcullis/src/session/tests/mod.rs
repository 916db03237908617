mod closing;
mod keeper;
mod liveness;
#[cfg(shuttle)]
mod races;
mod states;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use futures_util::future::BoxFuture;
use portcullis_core::{Credential, Identity, VerifyError};

use super::slot::{Liveness, SessionStream};
use super::{ReVerify, SessionContext, Sessions};
use crate::close::{CloseCause, CloseCodes};

/// Returns a context with a verifier that must not be called.
fn context(sessions: &Sessions) -> Arc<SessionContext> {
    struct Unused;

    impl ReVerify for Unused {
        fn verify<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<Identity, VerifyError>> {
            unreachable!("the test does not verify")
        }
    }

    Arc::new(SessionContext {
        sessions: sessions.clone(),
        codes: CloseCodes::registered(),
        verifier: Arc::new(Unused),
    })
}

/// A stream that is always alive and closes at once.
#[derive(Debug)]
struct IdleStream;

impl SessionStream for IdleStream {
    fn end(&self, _: &CloseCause, _: &CloseCodes) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn check(&self) -> Liveness {
        Liveness::Alive
    }

    fn flush_ping(&self) -> bool {
        true
    }
}

/// A socket that receives nothing.
struct IdleSocket;

impl Stream for IdleSocket {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        Poll::Pending
    }
}

impl Sink<()> for IdleSocket {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, (): ()) -> Result<(), Infallible> {
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}
