use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use portcullis_core::Verify;
use tower_service::Service;

use super::admission::{Gate, Verification};
use super::echo::Echo;
use crate::refusal::Respond;

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

    pub(super) fn admitted(future: S::Future, echo: Option<Echo>) -> Self {
        Self {
            state: State::Admitted { future, echo },
        }
    }

    pub(super) fn pending(
        verification: Verification<V::Claims>,
        pending: Pending<S, B, V, R>,
    ) -> Self {
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
                StateProjection::Admitted { future, echo } => {
                    let mut response = ready!(future.poll(context))?;
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
                            pending.request.extensions_mut().insert(identity);
                            State::Admitted {
                                future: pending.inner.call(pending.request),
                                echo: pending.echo,
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
pub(super) struct Pending<S, B, V, R> {
    pub(super) inner: S,
    pub(super) request: Request<B>,
    pub(super) gate: Gate<V, R>,
    pub(super) echo: Option<Echo>,
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
        },
        Refused {
            response: Option<S::Response>,
        },
        Verifying {
            verification: Verification<V::Claims>,
            pending: Option<Box<Pending<S, B, V, R>>>,
        },
    }
}

/// The contract of `Future` rules it out.
const POLLED_AGAIN: &str = "a future is not polled after it was ready";
