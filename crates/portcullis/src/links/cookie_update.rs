use std::sync::Arc;

use http::{Request, Response};
use portcullis_core::Carrier;

use super::navigation::opens_page;
use super::settings::{ReceivedCookie, Settings};
use crate::refusal::{Refusal, RefusalKind};
use crate::seal::{OpenError, SetCookies};

/// Removes or renews the cookie in the response to an opened page.
///
/// Only pages change the cookie. The response to an API call may arrive after a login that the call
/// did not see, and would then remove the new cookie.
pub(super) struct CookieUpdate {
    settings: Arc<Settings>,
    received: ReceivedCookie,
}

impl CookieUpdate {
    /// Prepares the update; `None` if the request opens no page or contains no cookie.
    pub(super) fn of<B>(request: &Request<B>, settings: &Arc<Settings>) -> Option<Self> {
        if !opens_page(request) {
            return None;
        }
        let received = settings.read_cookie(request);
        received.is_present().then(|| Self {
            settings: Arc::clone(settings),
            received,
        })
    }

    /// Returns the headers that the response needs.
    ///
    /// A cookie that occurs twice stays: a neighboring domain set one of the two, and that one
    /// would remain if the layer removed its own.
    pub(super) fn cookies<B>(&self, response: &Response<B>) -> Option<SetCookies> {
        let Settings { cookie, .. } = &*self.settings;
        if self.settings.sets_cookie(response) {
            return None;
        }
        let refusal = response.extensions().get::<Refusal>();
        match &self.received.message {
            Err(OpenError::BrokenSeal) => Some(cookie.remove(&self.received)),
            _ if refusal.is_some_and(is_of_the_cookie) => Some(cookie.remove(&self.received)),
            Ok(Some(message)) if message.has_previous_key && refusal.is_none() => {
                Some(cookie.set_message(message, &self.received))
            }
            _ => None,
        }
    }
}

/// Returns whether admission refused the credential in the cookie as invalid or expired.
fn is_of_the_cookie(refusal: &Refusal) -> bool {
    refusal.carrier() == Some(Carrier::Cookie)
        && matches!(
            refusal.kind(),
            RefusalKind::ExpiredCredential | RefusalKind::InvalidCredential
        )
}
