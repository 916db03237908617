use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::upgrade::OnUpgrade;
use portcullis_core::{
    CarrierKind, Clock, Credential, Handshake, Identity, Scheme, Verify, VerifyError,
};

use super::echo::Echo;
use super::extract::{Extracted, extract};
use super::handshake::Reading;
use super::in_band::InBand;
use super::origin::OriginPolicy;
use super::rules::Rules;
use crate::carrier::{Carrier, CarrierConfig};
use crate::close::CloseCodes;
use crate::peer::peer_of;
use crate::profile::Profile;
use crate::refusal::{Refusal, RefusalKind, Respond};
use crate::session::Revocations;

/// What an [`AuthLayer`](super::AuthLayer) was told, shared by all services it makes.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) origins: OriginPolicy,
    pub(crate) anonymous: bool,
    pub(crate) verify_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) revocations: Arc<Revocations>,
    /// A dialect of the route lets an upgrade in that bears no credential.
    pub(crate) pending: bool,
    /// The close codes of that dialect.
    pub(crate) dialect_codes: Option<CloseCodes>,
    /// A refused upgrade is accepted and closed at once.
    pub(crate) in_band: bool,
}

/// Decides about requests.
pub(crate) struct Gate<V: Verify, R> {
    pub(crate) rules: Arc<Rules<V>>,
    pub(super) responder: R,
}

/// A request that has passed everything but the verifier.
#[derive(Debug)]
pub(super) struct Candidate {
    credential: Option<Credential>,
    rescue: Option<Box<Credential>>,
    echo: Option<Echo>,
}

/// The answer of a verifier that had to be waited for.
pub(super) type Verification = Pin<Box<dyn Future<Output = Result<Identity, Refusal>> + Send>>;

/// What is known of a candidate without waiting.
pub(super) enum Verdict {
    Admitted(Option<Identity>),
    Refused(Refusal),
    Pending(Verification),
}

impl<V: Verify, R> Gate<V, R> {
    /// Everything that comes before the verifier. Nothing is asked, set or closed in here.
    ///
    /// The carriers are emptied first, so that whoever answers a refusal sees no secret.
    pub(super) fn examine<B>(
        &self,
        request: &mut Request<B>,
        reading: Reading,
    ) -> Result<Candidate, Refusal> {
        let Settings {
            profile, origins, ..
        } = &*self.rules.settings;
        let Reading {
            carriers,
            upgrade,
            handshake,
        } = reading;
        let extracted = extract(profile, request, carriers, upgrade);
        handshake?;
        origins.check_host(request)?;
        let Extracted {
            mut credential,
            mut rescue,
            bearer,
        } = extracted?;

        match &credential {
            None if self.rules.settings.anonymous => {}
            None if upgrade && self.rules.settings.pending => {
                if origins.for_all {
                    origins.check_origin(request, profile.same_origin, false)?;
                }
            }
            None => return Err(Refusal::new(RefusalKind::MissingCredential)),
            Some(credential) => self.check_origin(request, upgrade, credential)?,
        }
        rescue = rescue.filter(|rescue| self.check_origin(request, upgrade, rescue).is_ok());
        if self.rules.verifier.needs_handshake() {
            let handshake = Arc::new(handshake_of(request, upgrade));
            let present = |it: Credential| it.presented_with(Arc::clone(&handshake));
            credential = credential.map(present);
            rescue = rescue.map(|rescue| Box::new(present(*rescue)));
        }
        let echo = match upgrade {
            true if !carriers.subprotocol => Some(Echo::default()),
            true => Some(self.negotiate(request, bearer)?),
            false => None,
        };
        Ok(Candidate {
            credential,
            rescue,
            echo,
        })
    }

    /// Whose credential it is, at once if the verifier can tell.
    pub(super) fn verify(&self, candidate: &mut Candidate) -> Verdict {
        let Rules {
            verifier, settings, ..
        } = &*self.rules;
        if let Some(credential) = &candidate.credential
            && candidate.rescue.is_none()
        {
            let ask = AssertUnwindSafe(|| verifier.verify_now(credential));
            match catch_unwind(ask) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    return match settings.judge(answer, credential) {
                        Ok(identity) => Verdict::Admitted(Some(identity)),
                        Err(refusal) => Verdict::Refused(refusal),
                    };
                }
                Err(_) => return Verdict::Refused(Refusal::new(RefusalKind::VerifierFailed)),
            }
        }
        let Some(credential) = candidate.credential.take() else {
            return Verdict::Admitted(None);
        };
        let rescue = candidate.rescue.take();
        let (verifier, settings) = (Arc::clone(verifier), Arc::clone(settings));
        Verdict::Pending(Box::pin(async move {
            let first = settings.wait_for(&*verifier, &credential).await;
            match (&first, rescue) {
                (Err(refusal), Some(rescue)) if refusal.kind().is_of_the_credential() => {
                    settings.wait_for(&*verifier, &rescue).await
                }
                _ => first,
            }
        }))
    }

    pub(super) fn refuse<B, ResBody>(
        &self,
        refusal: Refusal,
        request: Request<B>,
        upgrade: bool,
    ) -> Response<ResBody>
    where
        R: Respond<ResBody>,
    {
        let (mut parts, _) = request.into_parts();
        // Whoever holds it may get the socket, whatever the response says.
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        if upgrade
            && self.rules.settings.in_band
            && let Some(on_upgrade) = on_upgrade
            && let profile = Some(self.rules.settings.profile.name())
            && let codes = self.rules.settings.codes()
            && let Some(opening) = InBand::refuse(&refusal, profile, &codes, &parts, on_upgrade)
        {
            // A responder answers a HEAD without a body, which is what the opening of a socket has.
            parts.method = Method::HEAD;
            let body = self.responder.respond(&refusal, &parts).into_body();
            return opening.into_response(&refusal, body);
        }
        refusal.answer(
            &self.rules.settings.profile,
            &self.responder,
            &parts,
            upgrade,
        )
    }

    /// An ambient credential proves nothing about the page that sent the request, so the page has
    /// to be one that we know. On requests that change nothing and open no socket, the browser
    /// itself keeps the answer from a foreign page.
    fn check_origin<B>(
        &self,
        request: &Request<B>,
        upgrade: bool,
        credential: &Credential,
    ) -> Result<(), Refusal> {
        let Settings {
            profile, origins, ..
        } = &*self.rules.settings;
        if !upgrade && request.method().is_safe() {
            return Ok(());
        }
        let ambient = credential.carrier().kind() == CarrierKind::Ambient;
        // A browser replays a password by itself, but then it says for which page.
        let replayed = credential.scheme() == Scheme::Basic;
        let asked = ambient || replayed || (origins.for_all && upgrade);
        let absent_passes = replayed || !upgrade;
        match asked {
            true => origins.check_origin(request, profile.same_origin, absent_passes),
            false => Ok(()),
        }
    }

    /// What may be echoed. `bearer` is the reader whose entry bore the credential.
    fn negotiate<B>(&self, request: &Request<B>, bearer: Option<usize>) -> Result<Echo, Refusal> {
        let mut echo = Echo::new(request.headers());
        if bearer.is_none() && echo.is_offered_nothing() {
            return Ok(echo);
        }
        for (index, reader) in self.rules.settings.profile.carriers().iter().enumerate() {
            let CarrierConfig::Subprotocol(reader) = reader else {
                continue;
            };
            let accepted = bearer == Some(index);
            if accepted && echo.is_offered_nothing() && !reader.may_be_alone() {
                return Err(
                    Refusal::new(RefusalKind::MissingProtocol).carrier_is(Carrier::Subprotocol)
                );
            }
            if let Some(marker) = reader.echoed_marker() {
                echo.judge_marker(marker, accepted);
            }
        }
        Ok(echo)
    }
}

impl<V: Verify, R: Clone> Clone for Gate<V, R> {
    fn clone(&self) -> Self {
        Self {
            rules: Arc::clone(&self.rules),
            responder: self.responder.clone(),
        }
    }
}

impl<V: Verify, R> fmt::Debug for Gate<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Candidate {
    /// The credentials that an identity may come from.
    pub(super) fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credential.iter().chain(self.rescue.as_deref())
    }

    /// Whether it bears none.
    pub(super) fn is_anonymous(&self) -> bool {
        self.credential.is_none()
    }

    pub(super) fn into_echo(self) -> Option<Echo> {
        self.echo
    }
}

impl Settings {
    /// The dialect's, if it has its own, else the profile's.
    pub(crate) fn codes(&self) -> CloseCodes {
        self.dialect_codes.unwrap_or(self.profile.codes())
    }

    /// Waits for a verifier, but not for ever, and survives its panic.
    pub(crate) async fn wait_for<V: Verify>(
        &self,
        verifier: &V,
        credential: &Credential,
    ) -> Result<Identity, Refusal> {
        let verification = async {
            // A closure may panic before it has made a future.
            let ask = AssertUnwindSafe(|| verifier.verify(credential));
            let Ok(verification) = catch_unwind(ask) else {
                return Err(RefusalKind::VerifierFailed);
            };
            let mut verification = pin!(verification);
            std::future::poll_fn(|context| {
                let poll = AssertUnwindSafe(|| verification.as_mut().poll(context));
                match catch_unwind(poll) {
                    Ok(poll) => poll.map(Ok),
                    Err(_) => std::task::Poll::Ready(Err(RefusalKind::VerifierFailed)),
                }
            })
            .await
        };
        match tokio::time::timeout(self.verify_timeout, verification).await {
            Ok(Ok(answer)) => self.judge(answer, credential),
            Ok(Err(panicked)) => Err(Refusal::new(panicked)),
            Err(_) => Err(Refusal::unverified(
                VerifyError::unavailable(),
                credential.carrier(),
            )),
        }
    }

    /// The verifier's answer, as of now.
    ///
    /// A verifier may allow for clocks that differ. One that forgets to look at the time does not
    /// let anybody in for it.
    pub(crate) fn judge(
        &self,
        answer: Result<Identity, VerifyError>,
        credential: &Credential,
    ) -> Result<Identity, Refusal> {
        let refuse = |error| Err(Refusal::unverified(error, credential.carrier()));
        let now = self.clock.now();
        let identity = match answer {
            Ok(identity) => identity.proven_by(credential, now),
            Err(error) => return refuse(error),
        };
        if identity.is_expired(now - LEEWAY) {
            return refuse(VerifyError::Expired);
        }
        // Whatever cache it came from.
        if self.revocations.cover(&identity) {
            return refuse(VerifyError::Invalid);
        }
        if self.revocations.are_stale() {
            return refuse(VerifyError::unavailable());
        }
        Ok(identity)
    }
}

/// What a verifier may see of a request, for one that has to.
pub(super) fn handshake_of<B>(request: &Request<B>, upgrade: bool) -> Handshake {
    let origin = request.headers().get(http::header::ORIGIN);
    Handshake {
        origin: origin
            .and_then(|origin| origin.to_str().ok())
            .map(Into::into),
        peer: peer_of(request.extensions()),
        upgrade,
        ..Handshake::new(request.uri().path())
    }
}

/// How long after its end a verifier may still accept a credential.
const LEEWAY: Duration = Duration::from_secs(60);
