use std::time::{Duration, SystemTime};

use portcullis_core::Identity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::key::Keys;

/// An identity as it is kept. Its end is a part of it: else whoever can write to Redis could keep it
/// for longer.
#[derive(Deserialize, Serialize)]
struct Kept<I> {
    version: u32,
    /// Milliseconds since 1970.
    until: u64,
    identity: I,
}

const VERSION: u32 = 1;

/// Seal, then message; `None` if it is too large, or cannot be written.
pub(super) fn close<C: Serialize>(
    keys: &Keys,
    name: &blake3::Hash,
    identity: &Identity<C>,
    until: SystemTime,
) -> Option<Vec<u8>> {
    let kept = Kept {
        version: VERSION,
        until: milliseconds(until)?,
        identity,
    };
    let mut sealed = vec![0; SEAL];
    serde_json::to_writer(&mut sealed, &kept).ok()?;
    if sealed.len() > MAX {
        return None;
    }
    let seal = keys.seal(name, &sealed[SEAL..]);
    sealed[..SEAL].copy_from_slice(seal.as_bytes());
    Some(sealed)
}

/// The identity, if one of us has kept it under this name and it is still good.
pub(super) fn open<C: DeserializeOwned>(
    keys: &Keys,
    name: &blake3::Hash,
    sealed: &[u8],
    now: SystemTime,
) -> Option<Identity<C>> {
    let (seal, message) = sealed.split_first_chunk::<SEAL>()?;
    // Hashes of blake3 compare in constant time.
    if keys.seal(name, message) != *seal {
        return None;
    }
    let kept: Kept<Identity<C>> = serde_json::from_slice(message).ok()?;
    let is_good = kept.version == VERSION
        && milliseconds(now)? < kept.until
        && !kept.identity.is_expired(now)
        && !kept.identity.is_single_use();
    is_good.then_some(kept.identity)
}

fn milliseconds(time: SystemTime) -> Option<u64> {
    let since: Duration = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

const SEAL: usize = blake3::OUT_LEN;

/// Larger identities are not kept.
const MAX: usize = 64 * 1024;

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
    fn every_bit_counts() {
        let keys = keys();
        let name = keys.name(&Credential::bearer("t"));
        let sealed = close(&keys, &name, &alice(), at(60)).unwrap();
        let open = |name, sealed: &[u8], now| open::<String>(&keys, name, sealed, at(now));
        let opened = open(&name, &sealed, 59).unwrap();
        assert_eq!(opened.subject(), "alice");
        assert_eq!(opened.claims(), "é");
        assert_eq!(opened.expires_at(), Some(at(100)));
        assert!(open(&name, &sealed, 60).is_none());
        let other = keys.name(&Credential::bearer("u"));
        assert!(open(&other, &sealed, 59).is_none());
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&name, &flipped, 59).is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                open(&name, &sealed[..length], 59).is_none(),
                "length {length}"
            );
        }
    }

    #[test]
    fn what_is_not_good_any_more() {
        let keys = keys();
        let name = keys.name(&Credential::bearer("t"));
        let late = close(&keys, &name, &alice(), at(1_000)).unwrap();
        assert!(open::<String>(&keys, &name, &late, at(99)).is_some());
        assert!(open::<String>(&keys, &name, &late, at(100)).is_none());
        // Claims of another type, as after an update of the application.
        assert!(open::<u64>(&keys, &name, &late, at(99)).is_none());
        let other = Keys::new(&VerificationKey::new([8; 32]), "test");
        assert!(open::<String>(&other, &name, &late, at(99)).is_none());
    }

    #[test]
    fn large_ones_are_not_kept() {
        let keys = keys();
        let name = keys.name(&Credential::bearer("t"));
        let large = Identity::builder("alice").claims("x".repeat(MAX)).build();
        assert!(close(&keys, &name, &large, at(9)).is_none());
    }
}
