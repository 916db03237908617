//! The outcome of a request, and the contract that every outcome fulfills.

use std::fmt;

use http::header::{CACHE_CONTROL, CONNECTION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode, Uri};
use portcullis::refusal::Refusal;
use portcullis::testing::TestResponse;

use super::HttpVersion;

/// The outcome of a request.
///
/// Displays the decision and the selected subprotocol: `open alice by subprotocol, echo chat.v2`,
/// `401 invalid-credential`, or `closed 3000` for a socket that is closed before the client is
/// admitted. Variants with another outcome follow.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) response: TestResponse,
    pub(crate) upgrade: Upgrade,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) received: Option<Received>,
    /// How many times the verifier was called.
    pub(crate) verifier_calls: usize,
    /// The outcomes of the variants that differ from the first one.
    pub(crate) differing: Vec<String>,
}

impl Outcome {
    /// The admitted identity, or the reason of the refusal.
    pub(crate) fn decision(&self) -> String {
        let answer = match self.upgrade {
            Upgrade::Opened => "open".to_owned(),
            Upgrade::Closed(code) => return format!("closed {code}"),
            Upgrade::Refused => self.response.status().as_u16().to_string(),
        };
        match (&self.refusal, &self.received) {
            (Some(refusal), None) => format!("{answer} {}", refusal.kind()),
            (None, Some(received)) => format!("{answer} {}", received.identity),
            (None, None) => answer,
            (Some(_), Some(_)) => panic!("the handler received a refused request: {self:?}"),
        }
    }

    /// The subprotocol of the response.
    pub(crate) fn echo(&self) -> Option<&str> {
        self.response.header("sec-websocket-protocol")
    }

    /// The path and query of the request's URI and of axum's `OriginalUri` in the handler. Empty if
    /// the handler was not called.
    pub(crate) fn uris(&self) -> (String, String) {
        let from_path = |uri: &str| match uri.parse::<Uri>().unwrap().path_and_query() {
            Some(path) => path.to_string(),
            None => String::new(),
        };
        match &self.received {
            Some(received) => (from_path(&received.uri), from_path(&received.original_uri)),
            None => (String::new(), String::new()),
        }
    }

    /// The lines of a header in the handler; in Latin-1 if they are not UTF-8.
    pub(crate) fn received_lines(&self, header: &str) -> Vec<String> {
        let latin1 = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
        let lines = self
            .received
            .iter()
            .flat_map(|received| received.headers.get_all(header));
        lines
            .map(|line| match str::from_utf8(line.as_bytes()) {
                Ok(text) => text.to_owned(),
                Err(_) => latin1(line.as_bytes()),
            })
            .collect()
    }

    /// Records the outcome of another variant if it differs from this one.
    pub(crate) fn compare(&mut self, other: &Self, variant: impl fmt::Debug) {
        let same = other.decision() == self.decision()
            && other.echo() == self.echo()
            && other.verifier_calls == self.verifier_calls
            && other.uris() == self.uris()
            && ["authorization", "cookie", "sec-websocket-protocol"]
                .iter()
                .all(|header| other.received_lines(header) == self.received_lines(header))
            && other.refusal == self.refusal;
        if !same {
            self.differing.push(format!("{variant:?}: {other}"));
        }
    }

    /// Checks the contract of every outcome.
    pub(crate) fn assert_contract(&self, is_upgrade: bool, version: HttpVersion) {
        if self.upgrade != Upgrade::Refused {
            let received = self.received.as_ref().expect("a handler opens the socket");
            let is_authenticated = received.identity != ANONYMOUS;
            match self.upgrade {
                Upgrade::Opened => {
                    let is_verified = self.verifier_calls > 0;
                    assert_eq!(
                        is_verified, is_authenticated,
                        "open, not verified: {self:?}"
                    );
                }
                _ => assert!(!is_authenticated, "the handler got the socket: {self:?}"),
            }
            return;
        }
        let Some(refusal) = &self.refusal else { return };
        let response = &self.response;
        assert!(self.received.is_none(), "refused, but handled: {self:?}");
        assert_eq!(response.status(), refusal.status());
        assert!(response.status().as_u16() >= 400, "{self:?}");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store", "{self:?}");
        assert!(!response.headers().contains_key(SET_COOKIE), "{self:?}");
        assert!(self.echo().is_none(), "{self:?}");
        if is_upgrade && version == HttpVersion::Http1 {
            assert_eq!(response.headers()[CONNECTION], "close", "{self:?}");
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            assert!(
                response.headers().contains_key(WWW_AUTHENTICATE),
                "RFC 9110 §15.5.2: {self:?}"
            );
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.decision())?;
        if let Some(echo) = self.echo() {
            write!(f, ", echo {echo}")?;
        }
        self.differing
            .iter()
            .try_for_each(|other| write!(f, "; {other}"))
    }
}

/// The outcome of an upgrade.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Upgrade {
    /// The socket opened, and the handler sent its first message.
    Opened,
    /// The socket opened and was closed with this code before the handler received it.
    Closed(u16),
    /// The socket did not open.
    Refused,
}

/// The request as the handler receives it.
#[derive(Debug)]
pub(crate) struct Received {
    /// The subject and the carrier, as in `alice by subprotocol`, with the scheme if it is not
    /// `bearer`; or [`ANONYMOUS`].
    pub(crate) identity: String,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: String,
    pub(crate) original_uri: String,
}

/// Stands for the identity of a request that has none.
pub(crate) const ANONYMOUS: &str = "anonymous";
