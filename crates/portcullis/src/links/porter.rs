use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use portcullis_core::{Carrier, Clock, Credential, Identity, Scheme, Verify};

use super::LinkPolicy;
use super::navigation::Site;
use crate::admission::{HostPolicy, LimitedVerifier, OriginPolicy};
use crate::carrier::{QueryCarrier, Unreadable};
use crate::profile::SameOrigin;
use crate::refusal::Refusal;
use crate::seal::{Borne, SealedCookie};
use crate::session::Revocations;

/// What a [`PersistTokenLayer`](super::PersistTokenLayer) was told.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) cookie: SealedCookie,
    pub(super) parameter: QueryCarrier,
    pub(super) policy: LinkPolicy,
    pub(super) on_api_replies: bool,
    pub(super) hosts: HostPolicy,
    pub(super) origins: OriginPolicy,
    pub(super) verify_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) revocations: Arc<Revocations>,
}

impl Settings {
    /// Whether admission would not refuse the request for its host.
    pub(super) fn serves_host<B>(&self, request: &Request<B>) -> bool {
        self.hosts.check(request).is_ok()
    }

    /// Whether one of our own pages has sent the request.
    ///
    /// `Sec-Fetch-Site` and `Origin` must both say so, as far as they are there. Where the browser
    /// vouches by the first, the scheme of the second may be one that a proxy has ended.
    pub(super) fn is_same_origin<B>(&self, request: &Request<B>, absent_passes: bool) -> bool {
        let origins = &self.origins;
        let checked = match Site::of(request.headers()) {
            Site::SameOrigin => origins.check(request, SameOrigin::Lenient, true),
            Site::Unsaid => origins.check(request, SameOrigin::Exact, absent_passes),
            Site::AddressBar | Site::Foreign => return false,
        };
        checked.is_ok()
    }
}

/// Knows who is at the door: the subject of a token, and the one who is logged in.
pub(super) struct Porter<V> {
    pub(super) verifier: Arc<V>,
    pub(super) settings: Arc<Settings>,
}

/// Who is logged in: somebody, nobody, or why that cannot be told.
pub(super) type Present = Result<Option<Identity>, Refusal>;

/// Whose a token is, beside who is logged in.
pub(super) struct Standing {
    pub(super) token: Identity,
    pub(super) present: Option<Identity>,
}

impl Standing {
    /// The other subject that is logged in, if there is one.
    pub(super) fn other(&self) -> Option<&Identity> {
        let is_other = |present: &&Identity| {
            (present.issuer(), present.subject()) != (self.token.issuer(), self.token.subject())
        };
        self.present.as_ref().filter(is_other)
    }
}

impl<V: Verify> Porter<V> {
    /// Whose the token is and who is logged in, if that can be told without waiting.
    ///
    /// The inner `None` is for a token that is not good, and for a cookie of which nobody can tell
    /// whether it is good. Then nothing is to be done.
    pub(super) fn standing_now(
        &self,
        token: &Credential,
        borne: &Borne,
    ) -> Option<Option<Standing>> {
        let Ok(identity) = self.whose_now(token)? else {
            return Some(None);
        };
        let present = match holds(borne, token) {
            true => Ok(Some(identity.clone())),
            false => self.present_now(borne)?,
        };
        Some(present.ok().map(|present| Standing {
            token: identity,
            present,
        }))
    }

    /// The same, and waits.
    pub(super) async fn standing(&self, token: &Credential, borne: &Borne) -> Option<Standing> {
        let identity = self.whose(token).await.ok()?;
        let present = match holds(borne, token) {
            true => Some(identity.clone()),
            false => self.present(borne).await.ok()?,
        };
        Some(Standing {
            token: identity,
            present,
        })
    }

    /// Who is logged in.
    pub(super) async fn present(&self, borne: &Borne) -> Present {
        match credential_of(borne)? {
            None => Ok(None),
            Some(credential) => present(self.whose(&credential).await),
        }
    }

    fn present_now(&self, borne: &Borne) -> Option<Present> {
        match credential_of(borne) {
            Err(refusal) => Some(Err(refusal)),
            Ok(None) => Some(Ok(None)),
            Ok(Some(credential)) => self.whose_now(&credential).map(present),
        }
    }

    /// Whose credential it is.
    pub(super) async fn whose(&self, credential: &Credential) -> Result<Identity, Refusal> {
        let answer = self.limited().verify(credential).await;
        answer.map_err(|failure| failure.into_refusal(credential.carrier()))
    }

    fn whose_now(&self, credential: &Credential) -> Option<Result<Identity, Refusal>> {
        let answer = self.limited().verify_now(credential)?;
        Some(answer.map_err(|failure| failure.into_refusal(credential.carrier())))
    }

    fn limited(&self) -> LimitedVerifier<V> {
        LimitedVerifier {
            verifier: Arc::clone(&self.verifier),
            verify_timeout: self.settings.verify_timeout,
            clock: Arc::clone(&self.settings.clock),
            revocations: Arc::clone(&self.settings.revocations),
        }
    }
}

impl<V> Clone for Porter<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: Arc::clone(&self.verifier),
            settings: Arc::clone(&self.settings),
        }
    }
}

impl<V> fmt::Debug for Porter<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Porter")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Whether the cookie holds this very token.
pub(super) fn holds(borne: &Borne, token: &Credential) -> bool {
    matches!(&borne.message, Ok(Some(message)) if *message.secret == token.expose_secret())
}

/// The credential in the cookie. One that does not open is nobody's; a cookie that is there twice
/// may be somebody's.
fn credential_of(borne: &Borne) -> Result<Option<Credential>, Refusal> {
    match &borne.message {
        Ok(message) => Ok(message.as_ref().map(|message| {
            Credential::new(Carrier::Cookie, Scheme::Bearer, message.secret.as_str())
        })),
        Err(Unreadable::BrokenSeal) => Ok(None),
        Err(why) => Err(Refusal::unreadable(*why, Carrier::Cookie)),
    }
}

/// A cookie with a bad credential logs nobody in.
fn present(answer: Result<Identity, Refusal>) -> Present {
    match answer {
        Ok(identity) => Ok(Some(identity)),
        Err(refusal) if refusal.kind().is_of_the_credential() => Ok(None),
        Err(refusal) => Err(refusal),
    }
}
