use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use portcullis_core::{Identity, Scopes};
use tower_layer::Layer;
use tower_service::Service;

use crate::refusal::{
    Problem, Refusal, RefusalKind, RefusalPolicy, Respond, Unanswered, answer, is_admitted,
};
use crate::upgrade::is_upgrade;

/// Admits requests with the scopes that a route requires.
///
/// An identity without them gets 403 with `insufficient_scope` (RFC 6750 §3.1), a request without
/// an identity gets 401. The [`AuthLayer`](crate::AuthLayer) around this layer answers these
/// refusals like its own, unless [`respond`](Self::respond) is called.
///
/// The layer checks the request once. If the client authenticates in a [message](crate::dialect),
/// the request has no identity yet and is refused. A session that is renewed with fewer scopes
/// stays open. If scopes can change while a socket is open, check
/// [`GuardedSocket::identity`](crate::GuardedSocket::identity) in its handler.
#[must_use = "a layer has no effect until it is added to a route"]
#[derive(Clone)]
pub struct RequireScopeLayer<R = Problem> {
    rule: Arc<Rule>,
    responder: R,
    /// Whether the application has set the responder.
    answers: bool,
}

#[derive(Debug)]
struct Rule {
    any: bool,
    scopes: Scopes,
    /// Whether a missing `AuthLayer` was reported.
    reported: Once,
}

impl RequireScopeLayer {
    /// Requires all of these scopes. An empty list admits every identity.
    pub fn all<S: Into<Box<str>>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::new(false, scopes)
    }

    /// Requires at least one of these scopes. An empty list admits no identity.
    pub fn any<S: Into<Box<str>>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::new(true, scopes)
    }

    fn new<S: Into<Box<str>>>(any: bool, scopes: impl IntoIterator<Item = S>) -> Self {
        Self {
            rule: Arc::new(Rule {
                any,
                scopes: scopes.into_iter().collect(),
                reported: Once::new(),
            }),
            responder: Problem,
            answers: false,
        }
    }
}

impl<R> RequireScopeLayer<R> {
    /// Sets the responder, which builds the responses to refused requests: a type that implements
    /// [`Respond`], or a closure. By default the [`AuthLayer`](crate::AuthLayer) around this layer
    /// answers.
    pub fn respond<Q>(self, responder: Q) -> RequireScopeLayer<Q> {
        RequireScopeLayer {
            rule: self.rule,
            responder,
            answers: true,
        }
    }
}

impl<S, R: Clone> Layer<S> for RequireScopeLayer<R> {
    type Service = RequireScope<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireScope {
            inner,
            layer: self.clone(),
        }
    }
}

impl<R> fmt::Debug for RequireScopeLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScopeLayer")
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

impl Rule {
    fn admits(&self, present: &Scopes) -> bool {
        let mut required = self.scopes.iter();
        match self.any {
            true => required.any(|scope| present.contains(scope)),
            false => required.all(|scope| present.contains(scope)),
        }
    }
}

/// The service that [`RequireScopeLayer`] makes. See the [module docs](crate::scope).
#[derive(Clone)]
pub struct RequireScope<S, R = Problem> {
    inner: S,
    layer: RequireScopeLayer<R>,
}

impl<S, R, B, ResBody> Service<Request<B>> for RequireScope<S, R>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    R: Respond<ResBody>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let rule = &self.layer.rule;
        let refusal = match request.extensions().get::<Identity>() {
            Some(identity) if rule.admits(identity.scopes()) => {
                let future = self.inner.call(request);
                return ResponseFuture {
                    state: State::Admitted { future },
                };
            }
            Some(_) => Refusal::insufficient_scope(&rule.scopes),
            None => Refusal::new(RefusalKind::MissingCredential),
        };
        let upgrade = is_upgrade(&request);
        let (mut parts, _) = request.into_parts();
        // hyper opens the socket for any code that holds this, regardless of the response.
        parts.extensions.remove::<OnUpgrade>();
        let is_admitted = is_admitted(&parts.extensions);
        if !is_admitted {
            rule.reported
                .call_once(|| tracing::error!(target: "portcullis", "{NO_LAYER}"));
        }
        let responder = &self.layer.responder;
        let response = match is_admitted && !self.layer.answers {
            true => Unanswered::new(refusal, parts).into_response(responder, upgrade),
            false => answer(
                refusal,
                &RefusalPolicy::default(),
                responder,
                &parts,
                upgrade,
            ),
        };
        ResponseFuture {
            state: State::Refused {
                response: Some(response),
            },
        }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for RequireScope<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScope")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}

pin_project! {
    /// The future of [`RequireScope`]. See the [module docs](crate::scope).
    pub struct ResponseFuture<F, Response> {
        #[pin]
        state: State<F, Response>,
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
                Poll::Ready(Ok(response.expect("polled after completion")))
            }
        }
    }
}

impl<F, Response> fmt::Debug for ResponseFuture<F, Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

const NO_LAYER: &str = "`RequireScopeLayer` refuses a request that no `AuthLayer` has admitted; add \
     `.route_layer(auth)` after the `RequireScopeLayer`, so that it runs first";
