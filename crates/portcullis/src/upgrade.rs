//! What an upgrade to a WebSocket looks like, over HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441).

use headers::{HeaderMapExt, SecWebsocketAccept, SecWebsocketKey};
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;

/// Returns whether `request` asks for an upgrade, in any form that an inner service could accept.
///
/// The check is broad on purpose: a narrower one than that of the inner service would miss
/// upgrades, and axum accepts even `Connection: no-upgrade`. The result never decides *whether* to
/// authenticate. It selects the checks of the handshake and the origin, and the form of the
/// response. `Sec-Fetch-*` cannot be used, because Chromium sends none on upgrades.
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(UPGRADE) || is_upgrade_without_header(request)
}

/// Returns whether a request without an `Upgrade` header asks for an upgrade.
pub(crate) fn is_upgrade_without_header<B>(request: &Request<B>) -> bool {
    request.method() == Method::CONNECT || request.extensions().get::<OnUpgrade>().is_some()
}

/// The response that opens a WebSocket: 101 over HTTP/1.1, 200 over HTTP/2.
///
/// It keeps nothing of the request: each header is a part of the buffer that hyper has read the
/// request into, and keeps all of it in memory.
#[derive(Debug)]
pub(crate) struct Opening {
    /// `None` over HTTP/2, which has no key.
    key: Option<SecWebsocketKey>,
}

impl Opening {
    /// Prepares the response to a handshake; `None` if the request has no valid key.
    pub(crate) fn new(request: &Parts) -> Option<Self> {
        let key = match request.version <= Version::HTTP_11 {
            true => Some(request.headers.typed_get()?),
            false => None,
        };
        Some(Self { key })
    }

    /// Returns the status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        match self.key {
            Some(_) => StatusCode::SWITCHING_PROTOCOLS,
            None => StatusCode::OK,
        }
    }

    /// Returns the response (RFC 6455 §4.2.2, RFC 8441 §5).
    pub(crate) fn into_response<B>(self, protocol: Option<HeaderValue>, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        if let Some(protocol) = protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        if let Some(key) = self.key {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.typed_insert(SecWebsocketAccept::from(key));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_upgrade_is_found() {
        let request = || Request::builder().uri("/ws");
        let rows = [
            (request().header("upgrade", "websocket"), true),
            (request().header("Upgrade", "h2c"), true),
            (request().method("CONNECT"), true),
            (request().header("connection", "upgrade"), false),
            (request(), false),
        ];
        for (request, expected) in rows {
            let request = request.body(()).unwrap();
            assert_eq!(is_upgrade(&request), expected, "{request:?}");
        }
    }
}
