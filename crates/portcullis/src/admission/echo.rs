//! The last step, for the response: echoes at most one subprotocol, which the client has offered.

use http::Response;
use http::header::SEC_WEBSOCKET_PROTOCOL;

use super::negotiate::Negotiation;

/// Checks the subprotocol in a response that opens a socket.
///
/// If the inner service selected a subprotocol that the client offered, it stays. If the inner
/// service selected none, the marker of the accepted token is echoed. A browser fails the
/// connection if the response contains an entry that was not offered, or more than one (RFC 6455
/// §4.1).
pub(super) fn echo<B>(negotiation: Negotiation, response: &mut Response<B>) {
    let headers = response.headers_mut();
    let mut selected = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    match (selected.next(), selected.next(), &negotiation.offer) {
        (None, _, _) => {}
        (Some(selected), None, Some(offer)) if offer.allows(selected) => return,
        _ => {
            tracing::error!(
                target: "portcullis",
                "the handler selected a subprotocol that the client did not offer; it is removed \
                 from the response"
            );
            headers.remove(SEC_WEBSOCKET_PROTOCOL);
        }
    }
    if let Some(marker) = negotiation.offer.and_then(|offer| offer.marker) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, marker);
    }
}
