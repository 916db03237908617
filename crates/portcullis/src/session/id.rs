use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The id of a session: 128 random bits, written as 22 letters of base64url.
///
/// The server sends the id only to the client of the session and to users that may list sessions.
/// It is not a credential: a renewal needs a credential as well.
///
/// The id is text in JSON and in URLs, and an argument of
/// [`Revocation::session`](crate::session::Revocation::session):
///
/// ```
/// use axum::{extract::{Path, State}, http::StatusCode};
/// use portcullis::{session::{Revocation, SessionId}, Sessions};
///
/// // DELETE /sessions/{id}
/// async fn close(State(sessions): State<Sessions>, Path(id): Path<SessionId>) -> StatusCode {
///     match sessions.revoke(Revocation::session(id)).await {
///         Ok(_) => StatusCode::NO_CONTENT,
///         Err(_) => StatusCode::SERVICE_UNAVAILABLE,
///     }
/// }
/// # use axum::{Router, routing::delete};
/// # let _: Router = Router::new().route("/sessions/{id}", delete(close)).with_state(Sessions::default());
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId([u8; 16]);

impl SessionId {
    pub(super) fn random() -> Self {
        let mut bytes = [0; 16];
        // Without random numbers nothing on the server is secure, so it must not continue.
        getrandom::fill(&mut bytes).expect("the operating system provides random numbers");
        Self(bytes)
    }

    /// Returns half of the bits: they are random, and so a hash.
    pub(super) fn hash(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = ParseSessionIdError;

    fn from_str(text: &str) -> Result<Self, ParseSessionIdError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| ParseSessionIdError)?;
        bytes.try_into().map(Self).map_err(|_| ParseSessionIdError)
    }
}

impl From<SessionId> for Box<str> {
    fn from(id: SessionId) -> Self {
        id.to_string().into()
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A string is not the id of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ParseSessionIdError;

impl fmt::Display for ParseSessionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session id is 22 letters of base64url")
    }
}

impl std::error::Error for ParseSessionIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_parsed_from_their_text() {
        let id = SessionId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 22);
        assert_ne!(id, SessionId::random());
        for wrong in ["", "a", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA!"] {
            assert_eq!(
                wrong.parse::<SessionId>(),
                Err(ParseSessionIdError),
                "{wrong}"
            );
        }
    }

    #[test]
    fn ids_are_text_in_json() -> Result<(), serde_json::Error> {
        let id = SessionId::random();
        let json = serde_json::to_string(&id)?;
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<SessionId>(&json)?, id);
        let wrong = serde_json::from_str::<SessionId>("\"a\"").unwrap_err();
        assert!(
            wrong.to_string().starts_with("a session id is 22 letters"),
            "{wrong}"
        );
        Ok(())
    }
}
