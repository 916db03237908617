use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::request::Parts;
use http::{Request, Response};
use pin_project_lite::pin_project;
use portcullis_core::Verify;
use tower_service::Service;

use super::admission::{Gate, Verification};
use super::echo::Echo;
use super::granting::Granted;
use crate::dialect::PendingPermit;
use crate::refusal::{Refusal, RefusalKind, Respond};

pin_project! {
    /// The future of [`Auth`](super::Auth). See the [module docs](super).
    ///
    /// Only a verifier that has to be waited for is boxed.
    pub struct ResponseFuture<S, B, V, R>
    where
        S: Service<Request<B>>,
        V: Verify,
    {
        #[pin]
        state: State<S, B, V, R>,
    }
}

impl<S, B, V, R> ResponseFuture<S, B, V, R>
where
    S: Service<Request<B>>,
    V: Verify,
{
    pub(super) fn refused(response: S::Response) -> Self {
        Self {
            state: State::Refused {
                response: Some(response),
            },
        }
    }

    pub(super) fn admitted(
        future: S::Future,
        echo: Option<Echo>,
        nobody: Option<Box<Nobody<V, R>>>,
    ) -> Self {
        Self {
            state: State::Admitted {
                future,
                echo,
                nobody,
            },
        }
    }

    pub(super) fn pending(verification: Verification, pending: Pending<S, B, V, R>) -> Self {
        Self {
            state: State::Verifying {
                verification,
                pending: Some(Box::new(pending)),
            },
        }
    }
}

impl<S, B, V, R, ResBody> Future for ResponseFuture<S, B, V, R>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    V: Verify,
    R: Respond<ResBody>,
{
    type Output = Result<Response<ResBody>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().state.project() {
                StateProjection::Refused { response } => {
                    return Poll::Ready(Ok(response.take().expect(POLLED_AGAIN)));
                }
                StateProjection::Admitted {
                    future,
                    echo,
                    nobody,
                } => {
                    let mut response = ready!(future.poll(context))?;
                    if let Some(nobody) = nobody.take().filter(|it| !it.permit.is_opened()) {
                        return Poll::Ready(Ok(nobody.refuse()));
                    }
                    if let Some(echo) = echo.take() {
                        echo.apply(&mut response);
                    }
                    return Poll::Ready(Ok(response));
                }
                StateProjection::Verifying {
                    verification,
                    pending,
                } => {
                    let answer = ready!(verification.as_mut().poll(context));
                    let mut pending = pending.take().expect(POLLED_AGAIN);
                    match answer {
                        Ok(identity) => {
                            pending.granted.admit(&mut pending.request, identity);
                            State::Admitted {
                                future: pending.inner.call(pending.request),
                                echo: pending.echo,
                                nobody: None,
                            }
                        }
                        Err(refusal) => {
                            let upgrade = pending.echo.is_some();
                            let response = pending.gate.refuse(refusal, pending.request, upgrade);
                            State::Refused {
                                response: Some(response),
                            }
                        }
                    }
                }
            };
            self.as_mut().project().state.set(next);
        }
    }
}

impl<S, B, V, R> fmt::Debug for ResponseFuture<S, B, V, R>
where
    S: Service<Request<B>>,
    V: Verify,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// What waits for the verifier: the service that was ready, and the request for it.
pub(super) struct Pending<S, B, V: Verify, R> {
    pub(super) inner: S,
    pub(super) request: Request<B>,
    pub(super) gate: Gate<V, R>,
    pub(super) echo: Option<Echo>,
    pub(super) granted: Granted,
}

/// A request of nobody, let through to open a socket that asks who it is. Any other answer would be
/// for nobody's eyes: what looks like an upgrade may reach a handler that is none.
pub(super) struct Nobody<V: Verify, R> {
    pub(super) permit: PendingPermit,
    pub(super) gate: Gate<V, R>,
    pub(super) parts: Parts,
}

impl<V: Verify, R> Nobody<V, R> {
    fn refuse<ResBody>(self) -> Response<ResBody>
    where
        R: Respond<ResBody>,
    {
        let refusal = Refusal::new(RefusalKind::MissingCredential);
        let Self { gate, parts, .. } = self;
        refusal.answer(&gate.rules.settings.profile, &gate.responder, &parts, true)
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, V, R>
    where
        S: Service<Request<B>>,
        V: Verify,
    {
        Admitted {
            #[pin]
            future: S::Future,
            echo: Option<Echo>,
            nobody: Option<Box<Nobody<V, R>>>,
        },
        Refused {
            response: Option<S::Response>,
        },
        Verifying {
            verification: Verification,
            pending: Option<Box<Pending<S, B, V, R>>>,
        },
    }
}

/// The contract of `Future` rules it out.
const POLLED_AGAIN: &str = "a future is not polled after it was ready";
