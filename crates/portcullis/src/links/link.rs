use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{Credential, Verify};

use super::confirmation::Question;
use super::navigation::{Site, opens_page};
use super::porter::{Porter, Settings, Standing};
use super::{page, redirect};
use crate::seal::Borne;

/// A page that is opened with a token in its address.
pub(super) struct Link {
    pub(super) token: Credential,
    /// The address without the token.
    pub(super) rest: Uri,
    /// What of the cookie came with it.
    pub(super) borne: Borne,
    /// Whether it stood on a page of another origin.
    foreign: bool,
}

impl Link {
    /// The link of `request`, which stays as it is: should admission have to answer it, it is for
    /// admission to take the token out.
    pub(super) fn of<B>(request: &Request<B>, settings: &Settings) -> Option<Self> {
        let has_query = request.uri().query().is_some();
        if !has_query || !opens_page(request) {
            return None;
        }
        let mut probe = Request::new(());
        *probe.uri_mut() = request.uri().clone();
        let token = settings.parameter.take(&mut probe).ok()??;
        Some(Self {
            token,
            rest: std::mem::take(probe.uri_mut()),
            borne: settings.cookie.borne_by(request.headers()),
            foreign: Site::of(request.headers()) == Site::Foreign,
        })
    }
}

impl<V: Verify> Porter<V> {
    /// The answer to a link, if it can be given without waiting. The inner `None` leaves it to
    /// admission.
    pub(super) fn answer_now(&self, link: &Link) -> Option<Option<Response<Bytes>>> {
        let standing = self.standing_now(&link.token, &link.borne)?;
        Some(standing.and_then(|standing| self.answer_in(&standing, link)))
    }

    /// The same, and waits.
    pub(super) async fn answer(self, link: Link) -> Option<Response<Bytes>> {
        let standing = self.standing(&link.token, &link.borne).await?;
        self.answer_in(&standing, &link)
    }

    fn answer_in(&self, standing: &Standing, link: &Link) -> Option<Response<Bytes>> {
        let subject = standing.token.subject();
        let other = standing.other();
        let asks = standing.present.is_none() && self.settings.policy.asks(link.foreign);
        if asks || other.is_some() {
            let question = Question::about(link, other, &self.settings);
            return Some(match other {
                Some(other) => page::switch(other.subject(), subject, &question),
                None => page::ask(subject, &question),
            });
        }
        let cookies = self.settings.cookie.set(
            link.token.expose_secret(),
            standing.token.expires_at(),
            &link.borne,
        )?;
        tracing::debug!(target: "portcullis", subject, "a link logs a browser in");
        Some(redirect::see_other(&link.rest, cookies))
    }
}
