use std::fmt;
use std::mem;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use portcullis_core::Verify;
use tower_service::Service;

use super::ResponseFuture;
use super::admission::{Gate, Verdict};
use super::future::{Nobody, Pending};
use super::granting::Granted;
use super::handshake;
use crate::refusal::{Problem, Respond};

/// The service that [`AuthLayer`](super::AuthLayer) makes. See the [module docs](super).
pub struct Auth<S, V: Verify, R = Problem> {
    inner: S,
    gate: Gate<V, R>,
}

impl<S, V: Verify, R> Auth<S, V, R> {
    pub(super) fn new(inner: S, gate: Gate<V, R>) -> Self {
        Self { inner, gate }
    }
}

impl<S, V, R, B, ResBody> Service<Request<B>> for Auth<S, V, R>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    V: Verify,
    R: Respond<ResBody>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, V, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let reading = handshake::read(&request);
        let upgrade = reading.upgrade;
        let mut candidate = match self.gate.examine(&mut request, reading) {
            Ok(candidate) => candidate,
            Err(refusal) => {
                return ResponseFuture::refused(self.gate.refuse(refusal, request, upgrade));
            }
        };
        let granting = self.gate.rules.granting();
        let granted = match granting.grant(&mut request, &candidate, upgrade) {
            Ok(granted) => granted,
            Err(refusal) => {
                return ResponseFuture::refused(self.gate.refuse(refusal, request, upgrade));
            }
        };
        match self.gate.verify(&mut candidate) {
            Verdict::Admitted(Some(identity)) => {
                granted.admit(&mut request, identity);
                let echo = candidate.into_echo();
                ResponseFuture::admitted(self.inner.call(request), echo, None)
            }
            Verdict::Admitted(None) => {
                let nobody = match granted {
                    Granted::Place(permit) if !self.gate.rules.settings.anonymous => {
                        Some(Box::new(Nobody {
                            permit,
                            gate: self.gate.clone(),
                            parts: copy_of(&request),
                        }))
                    }
                    _ => None,
                };
                let echo = candidate.into_echo();
                ResponseFuture::admitted(self.inner.call(request), echo, nobody)
            }
            Verdict::Refused(refusal) => {
                ResponseFuture::refused(self.gate.refuse(refusal, request, upgrade))
            }
            Verdict::Pending(verification) => {
                // The service that is ready goes with the future; a fresh clone stays behind.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                ResponseFuture::pending(
                    verification,
                    Pending {
                        inner,
                        request,
                        gate: self.gate.clone(),
                        echo: candidate.into_echo(),
                        granted,
                    },
                )
            }
        }
    }
}

/// What a responder may see of a request that is gone by the time it is asked.
fn copy_of<B>(request: &Request<B>) -> Parts {
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy.into_parts().0
}

impl<S: Clone, V: Verify, R: Clone> Clone for Auth<S, V, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            gate: self.gate.clone(),
        }
    }
}

impl<S: fmt::Debug, V: Verify, R> fmt::Debug for Auth<S, V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("inner", &self.inner)
            .field("gate", &self.gate)
            .finish()
    }
}
