use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Method, Request, Response};
use portcullis_core::{Credential, Verify};

use super::BoxFuture;
use super::login::{Login, contains};
use super::settings::{ReceivedCookie, Settings};
use crate::carrier::AuthorizationCarrier;
use crate::refusal::Refusal;
use crate::seal::SetCookies;

/// Sets the cookie in the response to an API call of a page of this server.
///
/// The call has a token in its `Authorization` header, and no cookie with the same token.
pub(super) struct ApiResponse {
    settings: Arc<Settings>,
    cookies: BoxFuture<Option<SetCookies>>,
}

impl ApiResponse {
    /// Prepares the cookie; `None` if the call must not set one.
    pub(super) fn of<B>(request: &Request<B>, login: &Login<impl Verify>) -> Option<Self> {
        let settings = &login.settings;
        let may_log_in = settings.on_api_responses
            && request.method() != Method::HEAD
            && settings.is_same_origin(request, true);
        if !may_log_in {
            return None;
        }
        let token = token_of(request)?;
        let received = settings.read_cookie(request);
        if contains(&received, &token) {
            return None;
        }
        let (login, settings) = (login.clone(), Arc::clone(settings));
        let cookies = Box::pin(async move { login.log_in(&token, &received).await });
        Some(Self { settings, cookies })
    }

    /// Returns whether the call succeeded and the application does not change the cookie itself.
    ///
    /// The response to a logout must not log in again.
    pub(super) fn may_log_in<B>(&self, response: &Response<B>) -> bool {
        response.status().is_success()
            && response.extensions().get::<Refusal>().is_none()
            && !self.settings.sets_cookie(response)
    }

    /// Verifies the token, and returns the headers that the response needs.
    pub(super) fn into_cookies(self) -> BoxFuture<Option<SetCookies>> {
        self.cookies
    }
}

impl<V: Verify> Login<V> {
    /// Returns the cookie for the token, unless another user is logged in.
    async fn log_in(&self, token: &Credential, received: &ReceivedCookie) -> Option<SetCookies> {
        let users = self.users(token, received).await?;
        if users.other().is_some() {
            return None;
        }
        let end = users.of_token.expires_at();
        self.settings
            .cookie
            .set(token.expose_secret(), end, received)
    }
}

/// Returns the token in the `Authorization` header, which stays in the request.
fn token_of<B>(request: &Request<B>) -> Option<Credential> {
    let mut copy = Request::new(());
    for line in request.headers().get_all(AUTHORIZATION) {
        copy.headers_mut().append(AUTHORIZATION, line.clone());
    }
    AuthorizationCarrier::jupyter()
        .take(copy.headers_mut())
        .ok()?
}
