//! What came of a request, and what has to hold of every answer.

use std::fmt;

use http::header::{CACHE_CONTROL, CONNECTION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode, Uri};
use portcullis::Refusal;
use portcullis::testing::TestResponse;

use crate::site::Over;

/// What came of a request.
///
/// Printed it says who was let in, and how, or why not; then what was echoed:
/// `open alice by subprotocol, echo chat.v2`, or `401 invalid-credential`; or by which code a socket
/// was closed before anybody was let in. Ways that do not agree with the first one follow.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) response: TestResponse,
    pub(crate) fate: Fate,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) seen: Option<Seen>,
    /// How often the verifier was asked.
    pub(crate) asked: usize,
    /// What came of it in the ways that do not agree with the first.
    pub(crate) differing: Vec<String>,
}

impl Outcome {
    /// Who was let in, and how, or why not.
    pub(crate) fn verdict(&self) -> String {
        let answer = match self.fate {
            Fate::Open => "open".to_owned(),
            Fate::Closed(code) => return format!("closed {code}"),
            Fate::Refused => self.response.status().as_u16().to_string(),
        };
        match (&self.refusal, &self.seen) {
            (Some(refusal), None) => format!("{answer} {}", refusal.kind()),
            (None, Some(seen)) => format!("{answer} {}", seen.who),
            (None, None) => answer,
            (Some(_), Some(_)) => panic!("refused, and let in: {self:?}"),
        }
    }

    /// The subprotocol of the response.
    pub(crate) fn echo(&self) -> Option<&str> {
        self.response.header("sec-websocket-protocol")
    }

    /// The addresses that the handler sees, the request's and axum's `OriginalUri`, from their paths
    /// on. Empty if it was not called.
    pub(crate) fn addresses(&self) -> (String, String) {
        let from_path = |uri: &str| match uri.parse::<Uri>().unwrap().path_and_query() {
            Some(path) => path.to_string(),
            None => String::new(),
        };
        match &self.seen {
            Some(seen) => (from_path(&seen.uri), from_path(&seen.original_uri)),
            None => (String::new(), String::new()),
        }
    }

    /// The lines of a header that reached the handler; in Latin-1 if they are not UTF-8.
    pub(crate) fn left(&self, header: &str) -> Vec<String> {
        let latin1 = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
        let lines = self
            .seen
            .iter()
            .flat_map(|seen| seen.headers.get_all(header));
        lines
            .map(|line| match str::from_utf8(line.as_bytes()) {
                Ok(text) => text.to_owned(),
                Err(_) => latin1(line.as_bytes()),
            })
            .collect()
    }

    /// Takes note of another way in which something else came of the same request.
    pub(crate) fn compare(&mut self, other: &Self, way: impl fmt::Debug) {
        let same = other.verdict() == self.verdict()
            && other.echo() == self.echo()
            && other.asked == self.asked
            && other.addresses() == self.addresses()
            && ["authorization", "cookie", "sec-websocket-protocol"]
                .iter()
                .all(|header| other.left(header) == self.left(header))
            && other.refusal == self.refusal;
        if !same {
            self.differing.push(format!("{way:?}: {other}"));
        }
    }

    /// What holds for every answer, whatever the row says.
    pub(crate) fn assert_contract(&self, upgrade: bool, over: Over) {
        if self.fate != Fate::Refused {
            let seen = self.seen.as_ref().expect("only the handler opens a socket");
            let by_anybody = seen.who != "nobody";
            match self.fate {
                Fate::Open => {
                    assert_eq!(self.asked > 0, by_anybody, "open means verified: {self:?}");
                }
                _ => assert!(!by_anybody, "the handler got the socket: {self:?}"),
            }
            return;
        }
        let Some(refusal) = &self.refusal else { return };
        let response = &self.response;
        assert!(self.seen.is_none(), "refused, and yet called: {self:?}");
        assert_eq!(response.status(), refusal.status());
        assert!(response.status().as_u16() >= 400, "{self:?}");
        assert_eq!(
            response.headers()[CACHE_CONTROL],
            "no-store",
            "never stored: {self:?}"
        );
        assert!(!response.headers().contains_key(SET_COOKIE), "{self:?}");
        assert!(self.echo().is_none(), "{self:?}");
        if upgrade && over == Over::Http1 {
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
        f.write_str(&self.verdict())?;
        if let Some(echo) = self.echo() {
            write!(f, ", echo {echo}")?;
        }
        self.differing
            .iter()
            .try_for_each(|other| write!(f, "; {other}"))
    }
}

/// What became of the socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It opened, and the handler had the first word.
    Open,
    /// It opened, and was closed before that with this code.
    Closed(u16),
    /// It did not open.
    Refused,
}

/// What the handler sees.
#[derive(Debug)]
pub(crate) struct Seen {
    /// `alice by subprotocol`, with the scheme behind it if that is not `bearer`; or `nobody`.
    pub(crate) who: String,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: String,
    pub(crate) original_uri: String,
}
