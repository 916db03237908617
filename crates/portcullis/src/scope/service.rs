use std::fmt;
use std::task::{Context, Poll};

use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response};
use hyper::upgrade::OnUpgrade;
use portcullis_core::Identity;
use tower_service::Service;

use super::{RequireScopeLayer, ResponseFuture};
use crate::Profile;
use crate::auth::is_upgrade;
use crate::refusal::{Problem, Refusal, RefusalKind, Respond};

/// The service that [`RequireScopeLayer`] makes. See the [module docs](super).
pub struct RequireScope<S, C = (), R = Problem> {
    pub(super) inner: S,
    pub(super) layer: RequireScopeLayer<C, R>,
}

impl<S, C, R, B, ResBody> Service<Request<B>> for RequireScope<S, C, R>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    C: Send + Sync + 'static,
    R: Respond<ResBody>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let kind = match request.extensions().get::<Identity<C>>() {
            Some(identity) if self.layer.rule.admits(identity.scopes()) => {
                return ResponseFuture::admitted(self.inner.call(request));
            }
            Some(_) => RefusalKind::InsufficientScope,
            None => RefusalKind::MissingCredential,
        };
        let upgrade = is_upgrade(&request);
        let (mut parts, _) = request.into_parts();
        // Whoever holds it may get the socket, whatever the response says.
        parts.extensions.remove::<OnUpgrade>();
        let mut response =
            Refusal::new(kind).answer(&Profile::default(), &self.layer.responder, &parts, upgrade);
        if kind == RefusalKind::InsufficientScope {
            // A scope with bytes that no header can hold is left out; the rest stands.
            let challenge = format!(
                r#"Bearer error="insufficient_scope", scope="{}""#,
                self.layer.rule.scopes
            );
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
        }
        ResponseFuture::refused(response)
    }
}

impl<S: Clone, C, R: Clone> Clone for RequireScope<S, C, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<S: fmt::Debug, C, R> fmt::Debug for RequireScope<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScope")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}
