use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pin_project! {
    /// The future of [`RequireScope`](super::RequireScope). See the [module docs](super).
    pub struct ResponseFuture<F, Response> {
        #[pin]
        state: State<F, Response>,
    }
}

impl<F, Response> ResponseFuture<F, Response> {
    pub(super) fn admitted(future: F) -> Self {
        Self {
            state: State::Admitted { future },
        }
    }

    pub(super) fn refused(response: Response) -> Self {
        Self {
            state: State::Refused {
                response: Some(response),
            },
        }
    }
}

impl<F, Response, E> Future for ResponseFuture<F, Response>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            StateProjection::Admitted { future } => future.poll(context),
            StateProjection::Refused { response } => {
                let response = response.take();
                Poll::Ready(Ok(
                    response.expect("a future is not polled after it was ready")
                ))
            }
        }
    }
}

impl<F, Response> fmt::Debug for ResponseFuture<F, Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, Response> {
        Admitted {
            #[pin]
            future: F,
        },
        Refused {
            response: Option<Response>,
        },
    }
}
