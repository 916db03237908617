//! The service: runs the steps for each request, and the last one for its response.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use portcullis_core::{Credential, Handshake, Verify};
use tower_service::Service;

use super::echo::echo;
use super::extract::extract;
use super::handshake::{Head, handshake_of};
use super::in_band::InBand;
use super::layer::Admission;
use super::negotiate::{Negotiation, negotiate};
use super::origin::OriginError;
use super::verify::{DeferredVerification, Verified};
#[cfg(feature = "dialects")]
use crate::dialect::PendingPermit;
use crate::refusal::{Problem, Refusal, RefusalKind, Respond, Unanswered, answer};

/// The service that [`AuthLayer`](super::AuthLayer) makes; see the [module docs](super).
pub struct Auth<S, V, R = Problem> {
    inner: S,
    admission: Arc<Admission<V>>,
    responder: R,
}

/// A request that has passed every step before the verifier.
struct Candidate {
    credential: Option<Credential>,
    rescue: Option<Box<Credential>>,
    /// `None` if the request is not an upgrade.
    upgrade: Option<Upgrade>,
    /// What the verifier can see of the request, if it asks for that.
    handshake: Option<Arc<Handshake>>,
}

/// What the response to an upgrade depends on.
struct Upgrade {
    negotiation: Negotiation,
    connect: bool,
}

impl<S, V, R> Auth<S, V, R> {
    pub(super) fn new(inner: S, admission: Arc<Admission<V>>, responder: R) -> Self {
        Self {
            inner,
            admission,
            responder,
        }
    }

    fn on_response(
        &self,
        upgrade: Option<Upgrade>,
        pending: Option<Box<Pending>>,
    ) -> OnResponse<V, R>
    where
        R: Clone,
    {
        OnResponse {
            admission: Arc::clone(&self.admission),
            responder: self.responder.clone(),
            upgrade,
            pending,
        }
    }

    /// Requires that the handler opens a pending socket with `permit`, because a client that has
    /// not authenticated must not get any other response. If the layer allows anonymous requests,
    /// the handler may respond in any way.
    #[cfg(feature = "dialects")]
    fn require_pending_socket<B>(
        &self,
        permit: Option<PendingPermit>,
        request: &Request<B>,
    ) -> Option<Box<Pending>> {
        let permit = permit.filter(|_| !self.admission.config.anonymous)?;
        let mut copy = Request::new(());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.version_mut() = request.version();
        copy.headers_mut().clone_from(request.headers());
        let (request, ()) = copy.into_parts();
        Some(Box::new(Pending { permit, request }))
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
        let head = Head::read(&request);
        let refuse = |refusal, request: Request<B>| {
            let (parts, _) = request.into_parts();
            let response = self
                .admission
                .refuse(refusal, parts, head.upgrade, &self.responder);
            ResponseFuture::refused(response)
        };
        let candidate = match self.admission.examine(&mut request, &head) {
            Ok(candidate) => candidate,
            Err(refusal) => return refuse(refusal, request),
        };
        let Candidate {
            credential,
            rescue,
            upgrade,
            handshake,
        } = candidate;
        let Some(credential) = credential else {
            self.admission.grants.grant_anonymously(&mut request);
            #[cfg(feature = "dialects")]
            let pending = match head.upgrade {
                true => match self.admission.grants.grant_pending(&mut request, handshake) {
                    Ok(permit) => self.require_pending_socket(permit, &request),
                    Err(refusal) => return refuse(refusal, request),
                },
                false => None,
            };
            #[cfg(not(feature = "dialects"))]
            let pending = None;
            let future = self.inner.call(request);
            return ResponseFuture::admitted(future, self.on_response(upgrade, pending));
        };
        let verifier = &self.admission.verifier;
        let answer = match rescue {
            None => verifier.verify_now(&credential),
            Some(_) => None,
        };
        let identity = match answer {
            Some(Ok(identity)) => identity,
            Some(Err(failure)) => {
                return refuse(failure.into_refusal(credential.carrier()), request);
            }
            None => {
                let verification = Arc::clone(verifier).verify_deferred(credential, rescue);
                let on_response = self.on_response(upgrade, None);
                // The service that is ready moves into the future, and a clone replaces it.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                let deferred = Box::new(Deferred {
                    inner,
                    request,
                    handshake,
                    on_response,
                });
                return ResponseFuture::deferred(verification, deferred);
            }
        };
        let grants = &self.admission.grants;
        grants.grant(&mut request, identity, &credential, head.upgrade, handshake);
        let future = self.inner.call(request);
        ResponseFuture::admitted(future, self.on_response(upgrade, None))
    }
}

impl<V: Verify> Admission<V> {
    /// Runs the steps before the verifier. The credentials are removed first, so that the responder
    /// of a refusal sees none.
    #[inline]
    fn examine<B>(&self, request: &mut Request<B>, head: &Head) -> Result<Candidate, Refusal> {
        let config = &self.config;
        let profile = &config.profile;
        let extracted = extract(profile, request, head);
        if let Some(flaw) = head.flaw {
            return Err(flaw.into());
        }
        config.hosts.check(request)?;
        let mut extracted = extracted?;
        self.check_origin(request, head, extracted.credential.as_ref())?;
        if let Some(rescue) = &extracted.rescue {
            let same_origin = profile.same_origin;
            let origins = &config.origins;
            if origins
                .check_credential(request, head.upgrade, same_origin, rescue)
                .is_err()
            {
                extracted.rescue = None;
            }
        }
        let mut handshake = None;
        if self.verifier.verifier.needs_handshake() {
            let shared = Arc::new(handshake_of(request, head.upgrade));
            let attach = |it: Credential| it.presented_with(Arc::clone(&shared));
            extracted.credential = extracted.credential.map(attach);
            extracted.rescue = extracted.rescue.map(|rescue| Box::new(attach(*rescue)));
            handshake = Some(shared);
        }
        let upgrade = match head.upgrade {
            true => Some(Upgrade {
                negotiation: match head.has_protocols {
                    true => negotiate(profile, request.headers(), extracted.subprotocol)?,
                    false => Negotiation::default(),
                },
                connect: request.version() > Version::HTTP_11,
            }),
            false => None,
        };
        Ok(Candidate {
            credential: extracted.credential,
            rescue: extracted.rescue,
            upgrade,
            handshake,
        })
    }

    /// Checks the origin, if the request needs an allowed one, and that a request without a
    /// credential is admitted.
    #[inline]
    fn check_origin<B>(
        &self,
        request: &Request<B>,
        head: &Head,
        credential: Option<&Credential>,
    ) -> Result<(), Refusal> {
        let origins = &self.config.origins;
        let same_origin = self.config.profile.same_origin;
        let checked = match credential {
            Some(credential) => {
                origins.check_credential(request, head.upgrade, same_origin, credential)
            }
            None if self.config.anonymous => Ok(()),
            None if head.upgrade && self.admits_pending() => match origins.always {
                true => origins.check(request, same_origin, false),
                false => Ok(()),
            },
            None => return Err(Refusal::new(RefusalKind::MissingCredential)),
        };
        checked.map_err(|error| {
            if error == OriginError::OtherScheme {
                self.diagnostics
                    .other_scheme(|| origins.explain(error, request));
            }
            origins.refusal(error, request)
        })
    }
}

impl<V> Admission<V> {
    fn admits_pending(&self) -> bool {
        #[cfg(feature = "dialects")]
        return self.grants.admits_pending();
        #[cfg(not(feature = "dialects"))]
        return false;
    }

    /// Answers a refusal of this layer, or of a part inside of it.
    fn refuse<R: Respond<B>, B>(
        &self,
        refusal: Refusal,
        mut request: Parts,
        upgrade: bool,
        responder: &R,
    ) -> Response<B> {
        // hyper opens the socket for any code that holds this, regardless of the response.
        let on_upgrade = request.extensions.remove::<OnUpgrade>();
        let profile = &self.config.profile;
        let refusal = self.diagnostics.explain(refusal, profile, &request);
        if upgrade
            && self.config.in_band
            && let Some(on_upgrade) = on_upgrade
            && let codes = self.config.codes()
            && let Some(in_band) =
                InBand::refuse(&refusal, profile.name(), &codes, &request, on_upgrade)
        {
            // The response that opens a socket has no body, like the response to a HEAD request.
            request.method = Method::HEAD;
            let body = responder.respond(&refusal, &request).into_body();
            return in_band.into_response(refusal, body);
        }
        answer(
            refusal,
            &profile.refusal_policy(),
            responder,
            &request,
            upgrade,
        )
    }
}

/// What a layer needs when the inner service has responded.
struct OnResponse<V, R> {
    admission: Arc<Admission<V>>,
    responder: R,
    /// `None` if the request is not an upgrade.
    upgrade: Option<Upgrade>,
    pending: Option<Box<Pending>>,
}

/// An upgrade that was admitted to open a pending socket, and for nothing else.
#[cfg(feature = "dialects")]
struct Pending {
    permit: PendingPermit,
    /// The request, for the responder.
    request: Parts,
}

/// Without dialects there are no pending sockets.
#[cfg(not(feature = "dialects"))]
enum Pending {}

impl<V, R> OnResponse<V, R> {
    #[inline]
    fn apply<B>(&mut self, response: &mut Response<B>)
    where
        R: Respond<B>,
    {
        let pending = self.pending.take();
        let is_pending = pending.is_some();
        #[cfg(feature = "dialects")]
        if let Some(pending) = pending
            && !pending.permit.is_opened()
        {
            let refusal = Refusal::new(RefusalKind::MissingCredential);
            *response = self.refuse(refusal, pending.request);
            return;
        }
        // Most responses have no extensions.
        if !response.extensions().is_empty()
            && let Some(unanswered) = response.extensions_mut().remove::<Unanswered>()
        {
            *response = self.refuse(unanswered.refusal, unanswered.request);
            return;
        }
        let Some(Upgrade {
            negotiation,
            connect,
        }) = self.upgrade.take()
        else {
            return;
        };
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS || status.is_success() {
            let is_socket = status == StatusCode::SWITCHING_PROTOCOLS || connect;
            if is_socket && !is_pending && self.admission.grants.is_unguarded() {
                self.admission.diagnostics.unguarded();
            }
            echo(negotiation, response);
        } else if connect && status == StatusCode::METHOD_NOT_ALLOWED {
            self.admission.diagnostics.method_not_allowed();
        }
    }

    fn refuse<B>(&self, refusal: Refusal, request: Parts) -> Response<B>
    where
        R: Respond<B>,
    {
        let upgrade = self.upgrade.is_some();
        self.admission
            .refuse(refusal, request, upgrade, &self.responder)
    }
}

pin_project! {
    /// The future of [`Auth`]; see the [module docs](super).
    pub struct ResponseFuture<S, B, V, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, V, R>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, V, R>
    where
        S: Service<Request<B>>,
    {
        Refused {
            response: Option<S::Response>,
        },
        Verifying {
            verification: DeferredVerification,
            deferred: Option<Box<Deferred<S, B, V, R>>>,
        },
        Admitted {
            #[pin]
            future: S::Future,
            on_response: OnResponse<V, R>,
        },
    }
}

/// A request that waits for the verifier, with the service that is ready for it.
struct Deferred<S, B, V, R> {
    inner: S,
    request: Request<B>,
    handshake: Option<Arc<Handshake>>,
    on_response: OnResponse<V, R>,
}

impl<S, B, V, R, ResBody> Deferred<S, B, V, R>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    R: Respond<ResBody>,
{
    fn resume(self, verification: Result<Verified, Refusal>) -> State<S, B, V, R> {
        let Self {
            mut inner,
            mut request,
            handshake,
            on_response,
        } = self;
        match verification {
            Ok((identity, credential)) => {
                let upgrade = on_response.upgrade.is_some();
                let grants = &on_response.admission.grants;
                grants.grant(&mut request, identity, &credential, upgrade, handshake);
                State::Admitted {
                    future: inner.call(request),
                    on_response,
                }
            }
            Err(refusal) => {
                let (request, _) = request.into_parts();
                State::Refused {
                    response: Some(on_response.refuse(refusal, request)),
                }
            }
        }
    }
}

impl<S, B, V, R> ResponseFuture<S, B, V, R>
where
    S: Service<Request<B>>,
{
    fn refused(response: S::Response) -> Self {
        Self {
            state: State::Refused {
                response: Some(response),
            },
        }
    }

    fn deferred(verification: DeferredVerification, deferred: Box<Deferred<S, B, V, R>>) -> Self {
        Self {
            state: State::Verifying {
                verification,
                deferred: Some(deferred),
            },
        }
    }

    fn admitted(future: S::Future, on_response: OnResponse<V, R>) -> Self {
        Self {
            state: State::Admitted {
                future,
                on_response,
            },
        }
    }
}

impl<S, B, V, R, ResBody> Future for ResponseFuture<S, B, V, R>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    R: Respond<ResBody>,
{
    type Output = Result<Response<ResBody>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().state.project() {
                StateProjection::Refused { response } => {
                    return Poll::Ready(Ok(response.take().expect(POLLED_AGAIN)));
                }
                StateProjection::Verifying {
                    verification,
                    deferred,
                } => {
                    let answer = ready!(verification.as_mut().poll(context));
                    let deferred = deferred.take().expect(POLLED_AGAIN);
                    deferred.resume(answer)
                }
                StateProjection::Admitted {
                    future,
                    on_response,
                } => {
                    let mut response = ready!(future.poll(context))?;
                    on_response.apply(&mut response);
                    return Poll::Ready(Ok(response));
                }
            };
            self.as_mut().project().state.set(next);
        }
    }
}

impl<S: Clone, V, R: Clone> Clone for Auth<S, V, R> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            Arc::clone(&self.admission),
            self.responder.clone(),
        )
    }
}

impl<S: fmt::Debug, V, R> fmt::Debug for Auth<S, V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("inner", &self.inner)
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}

impl<S, B, V, R> fmt::Debug for ResponseFuture<S, B, V, R>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// A future must not be polled again after it has returned `Ready`.
const POLLED_AGAIN: &str = "the future was polled after completion";
