use http::{Method, Request, Response};
use portcullis_core::{Credential, Verify};

use super::porter::{Porter, Settings, Standing, holds};
use super::visit::says_something;
use crate::carrier::AuthorizationCarrier;
use crate::refusal::Refusal;
use crate::seal::{Borne, SetCookies};

/// A call of the API with a token in its `Authorization` header, from one of our own pages.
pub(super) struct ApiReply<V> {
    porter: Porter<V>,
    token: Credential,
    borne: Borne,
}

impl<V: Verify> ApiReply<V> {
    /// A call that may leave a cookie behind. One whose cookie holds the token already does not.
    pub(super) fn of<B>(request: &Request<B>, porter: &Porter<V>) -> Option<Self> {
        let settings = &porter.settings;
        let may_log_in = settings.on_api_replies
            && request.method() != Method::HEAD
            && settings.is_same_origin(request, true);
        if !may_log_in {
            return None;
        }
        let token = token_of(request)?;
        let borne = settings.cookie.borne_by(request.headers());
        (!holds(&borne, &token)).then(|| Self {
            porter: porter.clone(),
            token,
            borne,
        })
    }

    /// Whether the call was a success, and the application said nothing about the cookie itself:
    /// the reply to a log-out must not log in again.
    pub(super) fn is_admitted<B>(&self, response: &Response<B>) -> bool {
        response.status().is_success()
            && response.extensions().get::<Refusal>().is_none()
            && !says_something(response, &self.porter.settings)
    }

    /// The cookies of the reply, if they can be told without waiting.
    pub(super) fn cookies_now(&self) -> Option<Option<SetCookies>> {
        let standing = self.porter.standing_now(&self.token, &self.borne)?;
        Some(standing.and_then(|standing| self.cookies_in(&standing)))
    }

    /// The same, and waits.
    pub(super) async fn cookies(self) -> Option<SetCookies> {
        let standing = self.porter.standing(&self.token, &self.borne).await?;
        self.cookies_in(&standing)
    }

    fn cookies_in(&self, standing: &Standing) -> Option<SetCookies> {
        let Settings { cookie, .. } = &*self.porter.settings;
        match standing.other() {
            Some(_) => None,
            None => cookie.set(
                self.token.expose_secret(),
                standing.token.expires_at(),
                &self.borne,
            ),
        }
    }
}

/// The token in the `Authorization` header, of which the request keeps its own.
fn token_of<B>(request: &Request<B>) -> Option<Credential> {
    use http::header::AUTHORIZATION;

    let mut probe = Request::new(());
    for line in request.headers().get_all(AUTHORIZATION) {
        probe.headers_mut().append(AUTHORIZATION, line.clone());
    }
    AuthorizationCarrier::jupyter()
        .take(probe.headers_mut())
        .ok()?
}
