use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{Credential, Verify};

use super::confirmation::ConfirmationForm;
use super::login::Login;
use super::navigation::{FetchSite, opens_page};
use super::settings::{ReceivedCookie, Settings};
use super::{page, redirect};

/// A request that opens a page with a token in its URL.
pub(super) struct Link {
    pub(super) token: Credential,
    /// The URL without the token.
    pub(super) target: Uri,
    pub(super) received: ReceivedCookie,
    /// Whether the link was on a page of another origin.
    is_foreign: bool,
}

impl Link {
    /// Reads the link of a request, and does not change the request: if the layer passes it on,
    /// admission removes the token.
    pub(super) fn of<B>(request: &Request<B>, settings: &Settings) -> Option<Self> {
        let has_query = request.uri().query().is_some();
        if !has_query || !opens_page(request) {
            return None;
        }
        let mut copy = Request::new(());
        *copy.uri_mut() = request.uri().clone();
        let token = settings.parameter.take(&mut copy).ok()??;
        Some(Self {
            token,
            target: std::mem::take(copy.uri_mut()),
            received: settings.read_cookie(request),
            is_foreign: FetchSite::of(request.headers()) == FetchSite::OtherOrigin,
        })
    }
}

impl<V: Verify> Login<V> {
    /// Returns the response to a link; `None` if the request passes to the application.
    pub(super) async fn follow(&self, link: &Link) -> Option<Response<Bytes>> {
        let users = self.users(&link.token, &link.received).await?;
        let subject = users.of_token.subject();
        let other = users.other();
        let asks = users.of_cookie.is_none() && self.settings.policy.asks(link.is_foreign);
        if asks || other.is_some() {
            let form = ConfirmationForm::new(link, other, &self.settings);
            return Some(match other {
                Some(other) => page::switch(other.subject(), subject, &form),
                None => page::confirm(subject, &form),
            });
        }
        let cookies = self.settings.cookie.set(
            link.token.expose_secret(),
            users.of_token.expires_at(),
            &link.received,
        )?;
        tracing::debug!(target: "portcullis", subject, "a link logs a browser in");
        Some(redirect::see_other(&link.target, cookies))
    }
}
