//! The second step: takes the credentials out of a request, and selects the one that decides.

use http::Request;
use portcullis_core::{Carrier, CarrierKind, Credential};

use super::handshake::Head;
use crate::carrier::CarrierConfig;
use crate::profile::{Precedence, Profile};
use crate::refusal::{Refusal, RefusalKind};

/// The credentials of a request, which no longer contains them.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    /// The credential that decides.
    pub(super) credential: Option<Credential>,

    /// An ambient credential that decides if the first one is invalid. Only
    /// [`Profile::compat`] uses it, so it is boxed.
    pub(super) rescue: Option<Box<Credential>>,

    /// The index of the subprotocol carrier that contained the credential, even if another carrier
    /// contained it as well.
    pub(super) subprotocol: Option<usize>,
}

/// Removes the credential of every carrier of the profile.
///
/// Every carrier is read even if one has already failed, because the responder must not see a
/// secret in another one.
#[inline]
pub(super) fn extract<B>(
    profile: &Profile,
    request: &mut Request<B>,
    head: &Head,
) -> Result<Extracted, Refusal> {
    let mut extracted = Extracted::default();
    let mut ambient = None;
    let mut refusal = None;
    for (index, config) in profile.carriers().iter().enumerate() {
        let taken = match config {
            CarrierConfig::Authorization(it) if head.has_authorization => {
                it.take(request.headers_mut())
            }
            CarrierConfig::Cookie(it) if head.has_cookie => it.take(request.headers_mut()),
            CarrierConfig::Query(it) => {
                if head.has_referer {
                    it.strip_referer(request.headers_mut());
                }
                it.take(request)
            }
            CarrierConfig::Subprotocol(it) if head.has_protocols => {
                let taken = it.take(request.headers_mut());
                // A subprotocol has no meaning on a request that opens no socket.
                if head.upgrade { taken } else { Ok(None) }
            }
            _ => continue,
        };
        let carrier = config.carrier();
        let result = match taken {
            Ok(None) => continue,
            Ok(Some(credential)) => match credential.carrier().kind() {
                CarrierKind::Explicit => extracted.add_explicit(profile, index, credential),
                CarrierKind::Ambient => {
                    add_ambient(&mut ambient, credential);
                    continue;
                }
            },
            // A malformed cookie has no effect next to an explicit credential.
            Err(error) if carrier.kind() == CarrierKind::Ambient => {
                ambient = Some(Err(Refusal::unreadable(error, carrier)));
                continue;
            }
            // Jupyter Server ignores a header that does not match its pattern.
            Err(_)
                if profile.precedence == Precedence::FirstWins
                    && carrier == Carrier::Authorization =>
            {
                continue;
            }
            Err(error) => Err(Refusal::unreadable(error, carrier)),
        };
        if let Err(error) = result {
            refusal.get_or_insert(error);
        }
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let Some(ambient) = ambient else {
        return Ok(extracted);
    };
    if extracted.credential.is_none() {
        extracted.credential = Some(ambient?);
    } else if profile.precedence == Precedence::FirstWins && extracted.subprotocol.is_none() {
        extracted.rescue = ambient.ok().map(Box::new);
    }
    Ok(extracted)
}

impl Extracted {
    /// Adds an explicit credential. Two different ones conflict.
    #[inline]
    fn add_explicit(
        &mut self,
        profile: &Profile,
        index: usize,
        credential: Credential,
    ) -> Result<(), Refusal> {
        let in_subprotocol = credential.carrier() == Carrier::Subprotocol;
        if in_subprotocol {
            self.subprotocol.get_or_insert(index);
        }
        match &self.credential {
            None => self.credential = Some(credential),
            Some(first) if first.is_same_as(&credential) => {}
            // Jupyter Server uses the query and ignores the header. It does not ignore a token in
            // the subprotocol: a wrong one is refused with 403.
            Some(_) if profile.precedence == Precedence::FirstWins && !in_subprotocol => {}
            Some(_) => return Err(Refusal::new(RefusalKind::ConflictingCredentials)),
        }
        Ok(())
    }
}

/// Adds an ambient credential. Two different cookies conflict, and a malformed one stays an error
/// even if another one is valid.
fn add_ambient(ambient: &mut Option<Result<Credential, Refusal>>, credential: Credential) {
    match ambient {
        Some(Ok(first)) if !first.is_same_as(&credential) => {
            *ambient = Some(Err(Refusal::new(RefusalKind::ConflictingCredentials)));
        }
        Some(_) => {}
        None => *ambient = Some(Ok(credential)),
    }
}
