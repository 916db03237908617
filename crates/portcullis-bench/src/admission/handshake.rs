//! WebSocket handshakes.

use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, Request};

/// A handshake with the headers of Chromium.
pub(crate) struct Handshake(http::request::Builder);

impl Handshake {
    pub(crate) fn to(target: &str) -> Self {
        let headers = [
            ("host", "127.0.0.1:8888"),
            ("connection", "Upgrade"),
            ("pragma", "no-cache"),
            ("cache-control", "no-cache"),
            (
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/156.0.0.0 Safari/537.36",
            ),
            ("upgrade", "websocket"),
            ("origin", "http://127.0.0.1:8888"),
            ("sec-websocket-version", "13"),
            ("accept-encoding", "gzip, deflate, br, zstd"),
            ("accept-language", "en-US,en;q=0.9"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            (
                "sec-websocket-extensions",
                "permessage-deflate; client_max_window_bits",
            ),
        ];
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Self(request)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION, &format!("Bearer {token}"))
    }

    pub(crate) fn protocols(self, entries: &str) -> Self {
        self.header(SEC_WEBSOCKET_PROTOCOL, entries)
    }

    pub(crate) fn cookies(self, cookies: &str) -> Self {
        self.header(COOKIE, cookies)
    }

    /// Sets an `Origin` that is not allowed.
    pub(crate) fn foreign(mut self) -> Self {
        if let Some(headers) = self.0.headers_mut() {
            headers.insert(
                "origin",
                http::HeaderValue::from_static("https://evil.example"),
            );
        }
        self
    }

    pub(crate) fn build(self) -> Request<()> {
        self.0.body(()).expect("the constants are a valid request")
    }

    fn header(self, name: HeaderName, value: &str) -> Self {
        Self(self.0.header(name, value))
    }
}
