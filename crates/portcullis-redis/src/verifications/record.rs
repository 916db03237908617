use std::time::{Duration, SystemTime};

use portcullis_core::{ClaimsCodec, ClaimsError, Identity};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::key::Keys;

/// A stored identity. It contains the time at which it ends, so that an attacker with write access
/// to Redis cannot extend it.
#[derive(Deserialize, Serialize)]
struct Record<'a> {
    version: u32,
    /// Milliseconds since 1970.
    until: u64,
    #[serde(borrow)]
    identity: &'a RawValue,
}

const VERSION: u32 = 2;

/// Encodes an identity with its authentication tag in front. Returns `None` if it is too large.
pub(super) fn encode(
    keys: &Keys,
    claims: ClaimsCodec,
    name: &blake3::Hash,
    identity: &Identity,
    until: SystemTime,
) -> Result<Option<Vec<u8>>, ClaimsError> {
    let identity = claims.encode(identity)?;
    Ok(encode_json(keys, name, identity, until))
}

fn encode_json(
    keys: &Keys,
    name: &blake3::Hash,
    identity: String,
    until: SystemTime,
) -> Option<Vec<u8>> {
    let record = Record {
        version: VERSION,
        until: milliseconds(until)?,
        identity: &RawValue::from_string(identity).ok()?,
    };
    let mut bytes = vec![0; TAG_LENGTH];
    serde_json::to_writer(&mut bytes, &record).ok()?;
    if bytes.len() > MAX_LENGTH {
        return None;
    }
    let tag = keys.tag(name, &bytes[TAG_LENGTH..]);
    bytes[..TAG_LENGTH].copy_from_slice(tag.as_bytes());
    Some(bytes)
}

/// Decodes an identity, if it was stored under this name with the same key and is still valid.
pub(super) fn decode(
    keys: &Keys,
    claims: ClaimsCodec,
    name: &blake3::Hash,
    bytes: &[u8],
    now: SystemTime,
) -> Option<Identity> {
    let (tag, message) = bytes.split_first_chunk::<TAG_LENGTH>()?;
    // Hashes of blake3 compare in constant time.
    if keys.tag(name, message) != *tag {
        return None;
    }
    let record: Record<'_> = serde_json::from_slice(message).ok()?;
    if record.version != VERSION || milliseconds(now)? >= record.until {
        return None;
    }
    let identity = claims.decode(record.identity.get()).ok()?;
    (!identity.is_expired(now) && !identity.is_single_use()).then_some(identity)
}

fn milliseconds(time: SystemTime) -> Option<u64> {
    let since: Duration = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

const TAG_LENGTH: usize = blake3::OUT_LEN;

/// Larger identities are not stored.
const MAX_LENGTH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use portcullis_core::Credential;

    use super::*;
    use crate::VerificationKey;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn keys() -> Keys {
        Keys::new(&VerificationKey::new([7; 32]), "test")
    }

    fn alice() -> Identity {
        Identity::builder("alice")
            .scopes(["chat"])
            .expires_at(at(100))
            .claims("é".to_owned())
            .build()
    }

    fn encode_alice(keys: &Keys, name: &blake3::Hash, until: u64) -> Vec<u8> {
        let codec = ClaimsCodec::of::<String>();
        let bytes = encode(keys, codec, name, &alice(), at(until));
        bytes.unwrap().unwrap()
    }

    #[test]
    fn altered_records_are_refused() {
        let keys = keys();
        let name = keys.name(&Credential::bearer("t"));
        let bytes = encode_alice(&keys, &name, 60);
        let codec = ClaimsCodec::of::<String>();
        let decode = |name, bytes: &[u8], now| decode(&keys, codec, name, bytes, at(now));
        let decoded = decode(&name, &bytes, 59).unwrap();
        assert_eq!(decoded.subject(), "alice");
        assert_eq!(decoded.claims::<String>().unwrap(), "é");
        assert_eq!(decoded.expires_at(), Some(at(100)));
        assert!(decode(&name, &bytes, 60).is_none());
        let other = keys.name(&Credential::bearer("u"));
        assert!(decode(&other, &bytes, 59).is_none());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&name, &flipped, 59).is_none(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(
                decode(&name, &bytes[..length], 59).is_none(),
                "length {length}"
            );
        }
    }

    #[test]
    fn expired_and_foreign_records_are_refused() {
        let keys = keys();
        let name = keys.name(&Credential::bearer("t"));
        let bytes = encode_alice(&keys, &name, 1_000);
        let is_decoded = |keys, codec, now| decode(keys, codec, &name, &bytes, at(now)).is_some();
        assert!(is_decoded(&keys, ClaimsCodec::of::<String>(), 99));
        assert!(!is_decoded(&keys, ClaimsCodec::of::<String>(), 100));
        // Claims of another type, for example after an update of the application.
        assert!(!is_decoded(&keys, ClaimsCodec::of::<u64>(), 99));
        assert!(!is_decoded(&keys, ClaimsCodec::none(), 99));
        let other = Keys::new(&VerificationKey::new([8; 32]), "test");
        assert!(!is_decoded(&other, ClaimsCodec::of::<String>(), 99));
    }

    #[test]
    fn large_identities_are_not_stored() {
        let keys = keys();
        let name = keys.name(&Credential::bearer("t"));
        let codec = ClaimsCodec::of::<String>();
        let large = Identity::builder("alice")
            .claims("x".repeat(MAX_LENGTH))
            .build();
        assert_eq!(encode(&keys, codec, &name, &large, at(9)), Ok(None));
    }

    #[test]
    fn claims_of_an_unregistered_type_are_an_error() {
        let keys = keys();
        let name = keys.name(&Credential::bearer("t"));
        for codec in [ClaimsCodec::none(), ClaimsCodec::of::<u64>()] {
            assert!(encode(&keys, codec, &name, &alice(), at(9)).is_err());
        }
    }
}
