//! The fourth step: finds out which subprotocols the response may echo.

use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use crate::carrier::{Carrier, CarrierConfig, entries, has_entries};
use crate::profile::Profile;
use crate::refusal::{Refusal, RefusalKind};

/// The subprotocols that a response may echo.
#[derive(Debug, Default)]
pub(super) struct Negotiation {
    // Boxed, because it is in every future, and most requests offer nothing.
    pub(super) offer: Option<Box<Offer>>,
}

/// The subprotocols that the client offers, without the entries that contained a token.
#[derive(Debug)]
pub(super) struct Offer {
    first_line: HeaderValue,
    more_lines: Vec<HeaderValue>,
    /// The marker to echo if the inner service selects nothing.
    pub(super) marker: Option<HeaderValue>,
    /// The markers of carriers that contained no token. They are not echoed.
    unused_markers: Vec<HeaderValue>,
}

/// Reads the offer of an upgrade, from which the credentials have been removed. `subprotocol` is
/// the index of the carrier that contained the token, if one did.
pub(super) fn negotiate(
    profile: &Profile,
    headers: &HeaderMap,
    subprotocol: Option<usize>,
) -> Result<Negotiation, Refusal> {
    let mut negotiation = Negotiation::read(headers);
    if subprotocol.is_none() && negotiation.offer.is_none() {
        return Ok(negotiation);
    }
    for (index, config) in profile.carriers().iter().enumerate() {
        let CarrierConfig::Subprotocol(carrier) = config else {
            continue;
        };
        let has_token = subprotocol == Some(index);
        match &mut negotiation.offer {
            None if has_token && !carrier.may_be_alone() => {
                return Err(
                    Refusal::new(RefusalKind::MissingProtocol).with_carrier(Carrier::Subprotocol)
                );
            }
            None => {}
            Some(offer) => {
                if let Some(marker) = carrier.echoed_marker() {
                    offer.add_marker(marker, has_token);
                }
            }
        }
    }
    Ok(negotiation)
}

impl Negotiation {
    fn read(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
        if !lines.iter().any(|line| has_entries(line.as_bytes())) {
            return Self::default();
        }
        let mut lines = lines.iter().cloned();
        let offer = lines.next().map(|first_line| {
            Box::new(Offer {
                first_line,
                more_lines: lines.collect(),
                marker: None,
                unused_markers: Vec::new(),
            })
        });
        Self { offer }
    }
}

impl Offer {
    fn add_marker(&mut self, marker: &HeaderValue, has_token: bool) {
        match has_token {
            true if self.contains(marker) => self.marker = Some(marker.clone()),
            true => {}
            false => self.unused_markers.push(marker.clone()),
        }
    }

    /// Returns whether the inner service may select `protocol`.
    pub(super) fn allows(&self, protocol: &HeaderValue) -> bool {
        self.contains(protocol) && !self.unused_markers.contains(protocol)
    }

    fn contains(&self, protocol: &HeaderValue) -> bool {
        std::iter::once(&self.first_line)
            .chain(&self.more_lines)
            .flat_map(|line| entries(line.as_bytes()))
            .any(|entry| entry == protocol.as_bytes())
    }
}
