use std::time::{Duration, SystemTime};

use portcullis_core::Identity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::key::Keys;

/// A stored identity. It contains its own end, so that an attacker with write access to Redis cannot
/// keep it longer.
#[derive(Deserialize, Serialize)]
struct Record<I> {
    version: u32,
    /// Milliseconds since 1970.
    until: u64,
    identity: I,
}

const VERSION: u32 = 1;

/// Encodes an identity with its authentication tag in front. Returns `None` if it is too large or
/// cannot be serialized.
pub(super) fn encode<C: Serialize>(
    keys: &Keys,
    name: &blake3::Hash,
    identity: &Identity<C>,
    until: SystemTime,
) -> Option<Vec<u8>> {
    let record = Record {
        version: VERSION,
        until: milliseconds(until)?,
        identity,
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
pub(super) fn decode<C: DeserializeOwned>(
    keys: &Keys,
    name: &blake3::Hash,
    bytes: &[u8],
    now: SystemTime,
) -> Option<Identity<C>> {
    let (tag, message) = bytes.split_first_chunk::<TAG_LENGTH>()?;
    // Hashes of blake3 compare in constant time.
    if keys.tag(name, message) != *tag {
        return None;
    }
    let record: Record<Identity<C>> = serde_json::from_slice(message).ok()?;
    let is_valid = record.version == VERSION
        && milliseconds(now)? < record.until
        && !record.identity.is_expired(now)
        && !record.identity.is_single_use();
    is_valid.then_some(record.identity)
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

    fn alice() -> Identity<String> {
        Identity::builder("alice")
            .scopes(["chat"])
            .expires_at(at(100))
            .claims("é".to_owned())
            .build()
    }

    #[test]
    fn altered_records_are_refused() {
        let keys = keys();
        let name = keys.name(&Credential::bearer("t"));
        let bytes = encode(&keys, &name, &alice(), at(60)).unwrap();
        let decode = |name, bytes: &[u8], now| decode::<String>(&keys, name, bytes, at(now));
        let decoded = decode(&name, &bytes, 59).unwrap();
        assert_eq!(decoded.subject(), "alice");
        assert_eq!(decoded.claims(), "é");
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
        let bytes = encode(&keys, &name, &alice(), at(1_000)).unwrap();
        assert!(decode::<String>(&keys, &name, &bytes, at(99)).is_some());
        assert!(decode::<String>(&keys, &name, &bytes, at(100)).is_none());
        // Claims of another type, for example after an update of the application.
        assert!(decode::<u64>(&keys, &name, &bytes, at(99)).is_none());
        let other = Keys::new(&VerificationKey::new([8; 32]), "test");
        assert!(decode::<String>(&other, &name, &bytes, at(99)).is_none());
    }

    #[test]
    fn large_identities_are_not_stored() {
        let keys = keys();
        let name = keys.name(&Credential::bearer("t"));
        let large = Identity::builder("alice")
            .claims("x".repeat(MAX_LENGTH))
            .build();
        assert!(encode(&keys, &name, &large, at(9)).is_none());
    }
}
