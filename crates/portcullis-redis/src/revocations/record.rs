use std::time::{Duration, SystemTime};

use portcullis_core::Revocation;
use serde::{Deserialize, Serialize};

/// A stored revocation. It contains the version of its format, so that machines with an older version
/// of this crate skip it and log a warning.
#[derive(Deserialize, Serialize)]
struct Record<R> {
    version: u32,
    revocation: R,
}

const VERSION: u32 = 2;

/// Encodes a revocation. Returns `None` if it ended before 1970 and is without effect.
pub(super) fn encode(revocation: &Revocation) -> Option<String> {
    if revocation
        .ends_at()
        .is_some_and(|end| end < SystemTime::UNIX_EPOCH)
    {
        return None;
    }
    // Times before 1970 cannot be serialized, and no credential was issued before.
    let limit = revocation.covers_issued_before();
    let revocation = match limit {
        Some(limit) if limit < SystemTime::UNIX_EPOCH => {
            &revocation.clone().issued_before(SystemTime::UNIX_EPOCH)
        }
        _ => revocation,
    };
    let version = VERSION;
    let record = Record {
        version,
        revocation,
    };
    let json = serde_json::to_string(&record);
    Some(json.expect("names and times since 1970 can be serialized"))
}

/// Decodes a revocation. Returns `None` for another version or a malformed record.
pub(super) fn decode(record: &[u8]) -> Option<Revocation> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(record).ok()?;
    if version != VERSION {
        return None;
    }
    let record: Record<Revocation> = serde_json::from_slice(record).ok()?;
    Some(record.revocation)
}

/// Returns the score of a time in the sorted set: milliseconds since 1970.
pub(super) fn score(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    // Rounded up, so that a revocation is never removed too early.
    let since = since
        .unwrap_or_default()
        .saturating_add(Duration::from_micros(999));
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn revocations_survive_encoding() {
        let revocations = [
            Revocation::token("t\"1\\").until(at(9)),
            Revocation::subject("https://idp.example", "älice")
                .issued_before(at(3))
                .issuer("i")
                .until(at(9)),
            Revocation::subject(None, "alice").until(at(9)),
            Revocation::subject_at_any_issuer("alice").until(at(9)),
            Revocation::session("").until(at(u64::from(u32::MAX) * 1_000)),
            Revocation::everything()
                .issued_before(SystemTime::UNIX_EPOCH + Duration::from_nanos(1)),
        ];
        for revocation in revocations {
            let record = encode(&revocation).unwrap();
            assert_eq!(decode(record.as_bytes()), Some(revocation), "{record}");
        }
    }

    #[test]
    fn times_before_1970_are_handled() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(encode(&Revocation::token("t").until(before)), None);
        let old = Revocation::subject(None, "alice").issued_before(before);
        let decoded = decode(encode(&old).unwrap().as_bytes()).unwrap();
        assert_eq!(decoded.covers_issued_before(), Some(SystemTime::UNIX_EPOCH));
        assert_eq!(score(before), 0);
    }

    #[test]
    fn unknown_versions_and_malformed_records_are_skipped() {
        let known = encode(&Revocation::token("t").until(at(9))).unwrap();
        assert!(decode(known.as_bytes()).is_some());
        for record in [
            known.replace("\"version\":2", "\"version\":3"),
            known.replace("Token", "Device"),
            known.replace(
                "\"secs_since_epoch\":9",
                "\"secs_since_epoch\":18446744073709551615",
            ),
            known.replace("\"secs_since_epoch\":9", "\"secs_since_epoch\":-1"),
            known.replace('}', ""),
            String::new(),
            "1".to_owned(),
            "null".to_owned(),
        ] {
            assert_ne!(record, known);
            assert_eq!(decode(record.as_bytes()), None, "{record}");
        }
    }

    #[test]
    fn scores_are_rounded_up() {
        let second = Duration::from_secs(1);
        assert_eq!(score(at(0) + second), 1_000);
        assert_eq!(score(at(0) + second + Duration::from_nanos(1_000)), 1_001);
        assert_eq!(score(at(0) + second + Duration::from_millis(1)), 1_001);
    }
}
