use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{Response, StatusCode};

use crate::carrier::entries;

/// What the response may say about subprotocols.
///
/// The inner service's choice stands if the client offered it. If it chose nothing, the marker
/// does, should the token that it goes with have been accepted. At most one entry leaves, and
/// never one that was not offered: a browser fails the connection for either (RFC 6455 §4.1).
#[derive(Debug)]
pub(super) struct Echo {
    // What the client offered, without the entries that bore a token. One line, as nearly always.
    offered: Option<HeaderValue>,
    more: Vec<HeaderValue>,
    marker: Option<HeaderValue>,
    never: Option<HeaderValue>,
}

impl Echo {
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().cloned();
        Self {
            offered: lines.next(),
            more: lines.collect(),
            marker: None,
            never: None,
        }
    }

    /// Echo this if the inner service chooses nothing.
    pub(super) fn fall_back_to(&mut self, marker: &HeaderValue) {
        self.marker.get_or_insert_with(|| marker.clone());
    }

    /// Do not echo this, even if the inner service chooses it: no token came with it.
    pub(super) fn never(&mut self, marker: &HeaderValue) {
        self.never = Some(marker.clone());
    }

    pub(super) fn apply<B>(self, response: &mut Response<B>) {
        let opens =
            response.status() == StatusCode::SWITCHING_PROTOCOLS || response.status().is_success();
        if !opens {
            return;
        }
        let headers = response.headers_mut();
        let mut chosen = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        match (chosen.next(), chosen.next()) {
            (Some(chosen), None) if self.is_offered(chosen) => return,
            (None, _) => {}
            _ => {
                tracing::error!("the inner service chose a subprotocol that was not offered");
                headers.remove(SEC_WEBSOCKET_PROTOCOL);
            }
        }
        if let Some(marker) = self.marker {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, marker);
        }
    }

    fn is_offered(&self, chosen: &HeaderValue) -> bool {
        let mut lines = self.offered.iter().chain(&self.more);
        self.never.as_ref() != Some(chosen)
            && lines.any(|line| entries(line.as_bytes()).any(|entry| entry == chosen.as_bytes()))
    }
}
