use http::Request;
use portcullis_core::{Carrier, CarrierKind, Credential};

use super::handshake::Carriers;
use crate::carrier::CarrierConfig;
use crate::profile::Precedence;
use crate::profile::Profile;
use crate::refusal::{Refusal, RefusalKind};

/// What a request bore. It bears it no longer.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    /// The credential that decides.
    pub(super) credential: Option<Credential>,

    /// The ambient one that may decide if the first is bad. Only compatibility asks for it, so
    /// elsewhere it takes no room.
    pub(super) rescue: Option<Box<Credential>>,

    /// The reader of the subprotocol that bore the credential, alone or beside another carrier.
    pub(super) bearer: Option<usize>,
}

/// Empties every carrier of the profile and settles which credential decides.
///
/// All readers run, also when one has already failed: what is refused must not be passed on to
/// the responder with a secret in another carrier.
pub(super) fn extract<B>(
    profile: &Profile,
    request: &mut Request<B>,
    carriers: Carriers,
    upgrade: bool,
) -> Result<Extracted, Refusal> {
    let mut extracted = Extracted::default();
    let mut ambient = None;
    let mut refusal = None;
    for (index, reader) in profile.carriers().iter().enumerate() {
        if carriers.referer
            && let CarrierConfig::Query(query) = reader
        {
            query.strip_referer(request.headers_mut());
        }
        if !carriers.may_bear(reader.carrier()) {
            continue;
        }
        let taken = match reader.take(request) {
            // A subprotocol means nothing on a request that opens no socket.
            _ if matches!(reader, CarrierConfig::Subprotocol(_)) && !upgrade => continue,
            Ok(None) => continue,
            Ok(Some(credential)) => match credential.carrier().kind() {
                CarrierKind::Explicit => extracted.settle(profile, index, credential),
                CarrierKind::Ambient => settle_ambient(&mut ambient, credential),
            },
            // A broken cookie beside an explicit credential decides nothing.
            Err(why) if reader.carrier().kind() == CarrierKind::Ambient => {
                ambient = Some(Err(Refusal::unreadable(why, reader.carrier())));
                Ok(())
            }
            // Jupyter Server's pattern does not match, so there is nothing here.
            Err(_)
                if profile.precedence == Precedence::FirstWins
                    && reader.carrier() == Carrier::Authorization =>
            {
                continue;
            }
            Err(why) => Err(Refusal::unreadable(why, reader.carrier())),
        };
        if let Err(error) = taken {
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
    } else if profile.precedence == Precedence::FirstWins && extracted.bearer.is_none() {
        extracted.rescue = ambient.ok().map(Box::new);
    }
    Ok(extracted)
}

impl Extracted {
    /// Takes note of an explicit credential. Two different ones are no race: they are a mistake.
    fn settle(
        &mut self,
        profile: &Profile,
        reader: usize,
        credential: Credential,
    ) -> Result<(), Refusal> {
        let by_subprotocol = credential.carrier() == Carrier::Subprotocol;
        if by_subprotocol {
            self.bearer.get_or_insert(reader);
        }
        match &self.credential {
            None => self.credential = Some(credential),
            Some(first) if first.is_same_as(&credential) => {}
            // Jupyter Server takes the query and overlooks the header. The JEP's token is not
            // overlooked: if it is not the right one, that is a 403.
            Some(_) if profile.precedence == Precedence::FirstWins && !by_subprotocol => {}
            Some(_) => return Err(Refusal::new(RefusalKind::ConflictingCredentials)),
        }
        Ok(())
    }
}

/// Two cookies that differ are one mistake, too. A broken one beside a good one is overlooked no
/// more than a bad token is.
fn settle_ambient(
    ambient: &mut Option<Result<Credential, Refusal>>,
    credential: Credential,
) -> Result<(), Refusal> {
    match ambient {
        Some(Ok(first)) if !first.is_same_as(&credential) => {
            *ambient = Some(Err(Refusal::new(RefusalKind::ConflictingCredentials)));
        }
        Some(_) => {}
        None => *ambient = Some(Ok(credential)),
    }
    Ok(())
}
