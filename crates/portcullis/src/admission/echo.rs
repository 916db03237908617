use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{Response, StatusCode};

use crate::carrier::{entries, has_entries};

/// What the response may say about subprotocols.
///
/// The inner service's choice stands if the client offered it. If it chose nothing, the marker
/// does, should the token that it goes with have been accepted. At most one entry leaves, and
/// never one that was not offered: a browser fails the connection for either (RFC 6455 §4.1).
#[derive(Debug, Default)]
pub(super) struct Echo {
    // Behind a pointer, since it travels through every future and most requests offer nothing.
    offer: Option<Box<Offer>>,
}

/// What the client offered, without the entries that bore a token.
#[derive(Debug)]
struct Offer {
    lines: Lines,
    marker: Option<HeaderValue>,
    never: Vec<HeaderValue>,
}

/// One line, as nearly always, and those behind it.
#[derive(Debug)]
struct Lines(HeaderValue, Vec<HeaderValue>);

impl Echo {
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
        if !lines.iter().any(|line| has_entries(line.as_bytes())) {
            return Self::default();
        }
        let mut lines = lines.iter();
        let offer = lines.next().map(|first| {
            Box::new(Offer {
                lines: Lines(first.clone(), lines.cloned().collect()),
                marker: None,
                never: Vec::new(),
            })
        });
        Self { offer }
    }

    /// Whether the client offered nothing, or nothing but a token.
    pub(super) fn is_offered_nothing(&self) -> bool {
        self.offer.is_none()
    }

    /// The marker of a reader. Its token was accepted, so it is echoed if the inner service chooses
    /// nothing; or it was not, and then it is not echoed even if the inner service chooses it.
    pub(super) fn judge_marker(&mut self, marker: &HeaderValue, accepted: bool) {
        let Some(offer) = &mut self.offer else { return };
        match accepted {
            true if offer.has(marker) => offer.marker = Some(marker.clone()),
            true => {}
            false => offer.never.push(marker.clone()),
        }
    }

    pub(super) fn apply<B>(self, response: &mut Response<B>) {
        let opens =
            response.status() == StatusCode::SWITCHING_PROTOCOLS || response.status().is_success();
        if !opens {
            return;
        }
        let headers = response.headers_mut();
        let mut chosen = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        match (chosen.next(), chosen.next(), &self.offer) {
            (None, _, _) => {}
            (Some(chosen), None, Some(offer)) if offer.allows(chosen) => return,
            _ => {
                tracing::error!("the inner service chose a subprotocol that was not offered");
                headers.remove(SEC_WEBSOCKET_PROTOCOL);
            }
        }
        if let Some(marker) = self.offer.and_then(|offer| offer.marker) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, marker);
        }
    }
}

impl Offer {
    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let Lines(first, more) = &self.lines;
        std::iter::once(first)
            .chain(more)
            .flat_map(|line| entries(line.as_bytes()))
    }

    fn has(&self, protocol: &HeaderValue) -> bool {
        self.entries().any(|entry| entry == protocol.as_bytes())
    }

    fn allows(&self, chosen: &HeaderValue) -> bool {
        self.has(chosen) && !self.never.contains(chosen)
    }
}
