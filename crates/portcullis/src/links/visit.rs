use std::sync::Arc;

use http::header::SET_COOKIE;
use http::{Request, Response};
use portcullis_core::Carrier;

use super::navigation::opens_page;
use super::porter::Settings;
use crate::carrier::Unreadable;
use crate::refusal::{Refusal, RefusalKind};
use crate::seal::{Borne, SetCookies};

/// A page that is opened with a cookie, good or bad.
///
/// Only pages touch the cookie: a call that a script sent before a log-in may be answered after
/// it, and would then take away the new cookie for the sake of the old one.
pub(super) struct Visit {
    settings: Arc<Settings>,
    borne: Borne,
}

impl Visit {
    pub(super) fn of<B>(request: &Request<B>, settings: &Arc<Settings>) -> Option<Self> {
        if !opens_page(request) {
            return None;
        }
        let borne = settings.cookie.borne_by(request.headers());
        borne.is_any().then(|| Self {
            settings: Arc::clone(settings),
            borne,
        })
    }

    /// What the response should say about the cookie.
    ///
    /// A cookie that is there twice stays: one of the two was planted, and to remove ours would
    /// leave the planted one alone.
    pub(super) fn cookies<B>(&self, response: &Response<B>) -> Option<SetCookies> {
        if says_something(response, &self.settings) {
            return None;
        }
        let refusal = response.extensions().get::<Refusal>();
        match &self.borne.message {
            Err(Unreadable::BrokenSeal) => Some(self.settings.cookie.remove(&self.borne)),
            _ if refusal.is_some_and(is_of_the_cookie) => {
                Some(self.settings.cookie.remove(&self.borne))
            }
            Ok(Some(message)) if message.is_of_previous_key && refusal.is_none() => {
                Some(self.settings.cookie.set_message(message, &self.borne))
            }
            _ => None,
        }
    }
}

/// Whether the application itself sets or removes the cookie. Then that stands.
pub(super) fn says_something<B>(response: &Response<B>, settings: &Settings) -> bool {
    response.headers().get_all(SET_COOKIE).iter().any(|line| {
        let line = line.as_bytes();
        let end = line.iter().position(|byte| *byte == b'=');
        end.is_some_and(|end| settings.cookie.is_part(&line[..end]))
    })
}

/// Whether admission found the cookie's credential to be nobody's any more.
fn is_of_the_cookie(refusal: &Refusal) -> bool {
    refusal.carrier() == Some(Carrier::Cookie)
        && matches!(
            refusal.kind(),
            RefusalKind::ExpiredCredential | RefusalKind::InvalidCredential
        )
}
