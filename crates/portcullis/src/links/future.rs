use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use portcullis_core::Verify;
use tower_service::Service;

use super::api_reply::ApiReply;
use super::porter::Porter;
use super::visit::Visit;
use crate::seal::SetCookies;

pin_project! {
    /// The future of [`PersistToken`](super::PersistToken). See the [module docs](super).
    ///
    /// Only a verifier that has to be waited for, and the answer to a question, are boxed.
    pub struct ResponseFuture<S, B, V>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, V>,
    }
}

impl<S, B, V> ResponseFuture<S, B, V>
where
    S: Service<Request<B>>,
{
    pub(super) fn answered(response: S::Response) -> Self {
        Self {
            state: State::Answered {
                response: Some(response),
            },
        }
    }

    pub(super) fn answering(answer: Boxed<Response<Bytes>>) -> Self {
        Self {
            state: State::Answering { answer },
        }
    }

    pub(super) fn deciding(
        decision: Boxed<Option<Response<Bytes>>>,
        waiting: Waiting<S, B, V>,
    ) -> Self {
        Self {
            state: State::Deciding {
                decision,
                waiting: Some(waiting),
            },
        }
    }

    pub(super) fn passing(future: S::Future, after: After<V>) -> Self {
        Self {
            state: State::Passing { future, after },
        }
    }
}

impl<S, B, V, ResBody> Future for ResponseFuture<S, B, V>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    V: Verify,
    ResBody: From<Bytes>,
{
    type Output = Result<Response<ResBody>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().state.project() {
                StateProjection::Answered { response } => {
                    return Poll::Ready(Ok(response.take().expect(POLLED_AGAIN)));
                }
                StateProjection::Answering { answer } => {
                    let answer = ready!(answer.as_mut().poll(context));
                    State::Answered {
                        response: Some(answer.map(ResBody::from)),
                    }
                }
                StateProjection::Deciding { decision, waiting } => {
                    let decision = ready!(decision.as_mut().poll(context));
                    let mut waiting = waiting.take().expect(POLLED_AGAIN);
                    match decision {
                        Some(answer) => State::Answered {
                            response: Some(answer.map(ResBody::from)),
                        },
                        None => State::Passing {
                            future: waiting.inner.call(waiting.request),
                            after: waiting.after,
                        },
                    }
                }
                StateProjection::Passing { future, after } => {
                    let mut response = ready!(future.poll(context))?;
                    let cookies = match mem::replace(after, After::Nothing) {
                        After::ApiReply(reply) if reply.is_admitted(&response) => {
                            match reply.cookies_now() {
                                Some(cookies) => cookies,
                                None => {
                                    let cookies = Box::pin(reply.cookies());
                                    let response = Some(response);
                                    self.as_mut()
                                        .project()
                                        .state
                                        .set(State::LoggingIn { cookies, response });
                                    continue;
                                }
                            }
                        }
                        After::Visit(visit) => visit.cookies(&response),
                        After::ApiReply(_) | After::Nothing => None,
                    };
                    if let Some(cookies) = cookies {
                        cookies.append_to(response.headers_mut());
                    }
                    return Poll::Ready(Ok(response));
                }
                StateProjection::LoggingIn { cookies, response } => {
                    let cookies = ready!(cookies.as_mut().poll(context));
                    let mut response = response.take().expect(POLLED_AGAIN);
                    if let Some(cookies) = cookies {
                        cookies.append_to(response.headers_mut());
                    }
                    return Poll::Ready(Ok(response));
                }
            };
            self.as_mut().project().state.set(next);
        }
    }
}

impl<S, B, V> fmt::Debug for ResponseFuture<S, B, V>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What waits for a decision: the service that was ready, and the request for it.
pub(super) struct Waiting<S, B, V> {
    pub(super) inner: S,
    pub(super) request: Request<B>,
    pub(super) after: After<V>,
}

/// What is to be done once the inner service has answered.
pub(super) enum After<V> {
    ApiReply(Box<ApiReply<V>>),
    Nothing,
    Visit(Box<Visit>),
}

impl<V: Verify> After<V> {
    pub(super) fn of<B>(request: &Request<B>, porter: &Porter<V>) -> Self {
        if let Some(reply) = ApiReply::of(request, porter) {
            return Self::ApiReply(Box::new(reply));
        }
        match Visit::of(request, &porter.settings) {
            Some(visit) => Self::Visit(Box::new(visit)),
            None => Self::Nothing,
        }
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, V>
    where
        S: Service<Request<B>>,
    {
        Answered {
            response: Option<S::Response>,
        },
        Answering {
            answer: Boxed<Response<Bytes>>,
        },
        Deciding {
            decision: Boxed<Option<Response<Bytes>>>,
            waiting: Option<Waiting<S, B, V>>,
        },
        LoggingIn {
            cookies: Boxed<Option<SetCookies>>,
            response: Option<S::Response>,
        },
        Passing {
            #[pin]
            future: S::Future,
            after: After<V>,
        },
    }
}

/// The contract of `Future` rules it out.
const POLLED_AGAIN: &str = "a future is not polled after it was ready";
