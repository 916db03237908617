use std::time::{Duration, SystemTime};

use portcullis_core::Revocation;
use serde::{Deserialize, Serialize};

/// How a revocation is written down. It says its version, so that a later one is passed over, with a
/// word in the log, by those who cannot read it.
#[derive(Deserialize, Serialize)]
struct Record<R> {
    version: u32,
    revocation: R,
}

const VERSION: u32 = 1;

/// `None` if it ended before there was time.
pub(super) fn write(revocation: &Revocation) -> Option<String> {
    if revocation
        .ends_at()
        .is_some_and(|end| end < SystemTime::UNIX_EPOCH)
    {
        return None;
    }
    // Nothing was issued before there was time, and such a moment cannot be written.
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
    let written = serde_json::to_string(&record);
    Some(written.expect("names and times since 1970 can be written"))
}

pub(super) fn read(record: &[u8]) -> Option<Revocation> {
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

/// Milliseconds since 1970, as a set sorts them.
pub(super) fn score(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    // Rounded up: rather remembered for too long.
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
    fn what_is_written_is_read() {
        let revocations = [
            Revocation::token("t\"1\\").until(at(9)),
            Revocation::subject("älice")
                .issued_before(at(3))
                .issuer("i")
                .until(at(9)),
            Revocation::session("").until(at(u64::from(u32::MAX) * 1_000)),
            Revocation::everything()
                .issued_before(SystemTime::UNIX_EPOCH + Duration::from_nanos(1)),
        ];
        for revocation in revocations {
            let record = write(&revocation).unwrap();
            assert_eq!(read(record.as_bytes()), Some(revocation), "{record}");
        }
    }

    #[test]
    fn moments_before_1970() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(write(&Revocation::token("t").until(before)), None);
        let old = Revocation::subject("alice").issued_before(before);
        let read = read(write(&old).unwrap().as_bytes()).unwrap();
        assert_eq!(read.covers_issued_before(), Some(SystemTime::UNIX_EPOCH));
        assert_eq!(score(before), 0);
    }

    #[test]
    fn what_we_cannot_read() {
        let known = write(&Revocation::token("t").until(at(9))).unwrap();
        assert!(read(known.as_bytes()).is_some());
        for record in [
            known.replace("\"version\":1", "\"version\":2"),
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
            assert_eq!(read(record.as_bytes()), None, "{record}");
        }
    }

    #[test]
    fn scores_round_up() {
        let second = Duration::from_secs(1);
        assert_eq!(score(at(0) + second), 1_000);
        assert_eq!(score(at(0) + second + Duration::from_nanos(1_000)), 1_001);
        assert_eq!(score(at(0) + second + Duration::from_millis(1)), 1_001);
    }
}
