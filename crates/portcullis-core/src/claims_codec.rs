use std::any::{TypeId, type_name};
use std::fmt;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::claims::SharedClaims;
use crate::identity::Fields;
use crate::{ClaimsError, Identity, Scopes};

/// Serializes identities as JSON, with claims of one registered type.
///
/// Tickets and shared verification results leave the process, so the claims in them need a type
/// that serde knows. Register it once: [`ClaimsCodec::of`] for claims of type `T`,
/// [`ClaimsCodec::none`] where identities have no claims.
///
/// The JSON contains the whole identity except its proof, because an identity that is read from
/// JSON was not proven by a credential.
///
/// ```
/// use portcullis_core::{ClaimsCodec, Identity};
///
/// let codec = ClaimsCodec::of::<u32>();
/// let json = codec.encode(&Identity::builder("alice").claims(7_u32).build())?;
/// assert_eq!(codec.decode(&json)?.claims::<u32>(), Some(&7));
///
/// let other = Identity::builder("alice").claims("seven").build();
/// assert!(codec.encode(&other).is_err());
/// # Ok::<_, portcullis_core::ClaimsError>(())
/// ```
#[derive(Clone, Copy)]
pub struct ClaimsCodec(Option<Registered>);

#[derive(Clone, Copy)]
struct Registered {
    id: TypeId,
    name: &'static str,
    encode: fn(&SharedClaims) -> Result<Option<Box<RawValue>>, serde_json::Error>,
    decode: fn(&RawValue) -> Result<SharedClaims, serde_json::Error>,
}

impl ClaimsCodec {
    /// Creates a codec for identities without claims.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Creates a codec for identities with claims of type `T`, or without claims.
    pub fn of<T>() -> Self
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        Self(Some(Registered {
            id: TypeId::of::<T>(),
            name: type_name::<T>(),
            encode: |claims| {
                claims
                    .get::<T>()
                    .map(serde_json::value::to_raw_value)
                    .transpose()
            },
            decode: |json| serde_json::from_str::<T>(json.get()).map(SharedClaims::new),
        }))
    }

    /// Returns whether both codecs are for the same type.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.0.map(|registered| registered.id) == other.0.map(|registered| registered.id)
    }

    /// Returns the JSON of `identity`.
    ///
    /// # Errors
    ///
    /// Returns [`ClaimsError`] if the claims have a type other than the registered one, or if
    /// their `Serialize` fails.
    pub fn encode(&self, identity: &Identity) -> Result<String, ClaimsError> {
        let claims = match identity.shared_claims() {
            None => None,
            Some(claims) => {
                let unregistered = || ClaimsError::unregistered(claims.type_name());
                let registered = self.0.ok_or_else(unregistered)?;
                let json =
                    (registered.encode)(claims).map_err(|error| ClaimsError::format(&error))?;
                Some(json.ok_or_else(unregistered)?)
            }
        };
        let fields = identity.fields();
        let record = Record {
            subject: fields.subject.clone(),
            scopes: fields.scopes.clone(),
            expires_at: fields.expires_at,
            issued_at: fields.issued_at,
            issuer: fields.issuer.clone(),
            audience: fields.audience.clone(),
            token_id: fields.token_id.clone(),
            single_use: fields.single_use,
            session_ends_at: fields.session_ends_at,
            claims,
        };
        serde_json::to_string(&record).map_err(|error| ClaimsError::format(&error))
    }

    /// Returns the identity that `json` contains.
    ///
    /// # Errors
    ///
    /// Returns [`ClaimsError`] if `json` is not the JSON of an identity, or contains claims that
    /// are not of the registered type.
    pub fn decode(&self, json: &str) -> Result<Identity, ClaimsError> {
        let record: Record =
            serde_json::from_str(json).map_err(|error| ClaimsError::format(&error))?;
        let claims = match (record.claims, self.0) {
            (None, _) => None,
            (Some(_), None) => return Err(ClaimsError::unregistered("unknown")),
            (Some(json), Some(registered)) => {
                Some((registered.decode)(&json).map_err(|error| ClaimsError::format(&error))?)
            }
        };
        Ok(Identity::from_fields(Fields {
            subject: record.subject,
            scopes: record.scopes,
            expires_at: record.expires_at,
            issued_at: record.issued_at,
            issuer: record.issuer,
            audience: record.audience,
            token_id: record.token_id,
            single_use: record.single_use,
            session_ends_at: record.session_ends_at,
            claims,
        }))
    }
}

/// Serializes identities without claims.
impl Default for ClaimsCodec {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Debug for ClaimsCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registered = self.0.map(|registered| registered.name);
        f.debug_tuple("ClaimsCodec").field(&registered).finish()
    }
}

/// The JSON form of an identity.
#[derive(Deserialize, Serialize)]
struct Record {
    subject: Box<str>,
    scopes: Scopes,
    expires_at: Option<SystemTime>,
    issued_at: Option<SystemTime>,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    token_id: Option<Box<str>>,
    single_use: bool,
    session_ends_at: Option<SystemTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn identity_survives_a_round_trip() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let identity = Identity::builder("alice")
            .scopes(["chat"])
            .expires_at(end)
            .issuer("https://issuer.example")
            .single_use()
            .claims(vec![1_u8, 2])
            .build();
        let codec = ClaimsCodec::of::<Vec<u8>>();
        let read = codec.decode(&codec.encode(&identity).unwrap()).unwrap();
        assert_eq!(read.subject(), "alice");
        assert_eq!(read.scopes().to_string(), "chat");
        assert_eq!(read.expires_at(), Some(end));
        assert_eq!(read.issuer(), Some("https://issuer.example"));
        assert!(read.is_single_use());
        assert_eq!(read.claims::<Vec<u8>>(), Some(&vec![1, 2]));
        assert_eq!(read.proof(), None);
    }

    #[test]
    fn only_the_registered_claims_are_serialized() {
        let plain = Identity::new("alice");
        let numbered = Identity::builder("alice").claims(7_u8).build();
        let rows = [
            (ClaimsCodec::none(), &plain, true),
            (ClaimsCodec::none(), &numbered, false),
            (ClaimsCodec::of::<u8>(), &plain, true),
            (ClaimsCodec::of::<u8>(), &numbered, true),
            (ClaimsCodec::of::<u16>(), &numbered, false),
        ];
        for (codec, identity, works) in rows {
            let encoded = codec.encode(identity);
            assert_eq!(encoded.is_ok(), works, "{codec:?} {encoded:?}");
        }
        let json = ClaimsCodec::of::<u8>().encode(&numbered).unwrap();
        assert!(ClaimsCodec::none().decode(&json).is_err());
        assert!(ClaimsCodec::of::<String>().decode(&json).is_err());
        assert!(ClaimsCodec::none().decode("{}").is_err());
    }
}
