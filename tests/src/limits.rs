//! Compares the tables of `docs/limits.md` with the code. Each row has a line here with the file and
//! the code that sets the limit.

use std::fs;
use std::path::{Path, PathBuf};

/// The first two cells of a row, a file or folder below `crates/`, and the code it has to contain.
type Row = (&'static str, &'static str, &'static str, &'static str);

const ADMISSION: &str = "portcullis/src/admission";
const CARRIER: &str = "portcullis/src/carrier";
const CLOSE: &str = "portcullis/src/close.rs";
const DIALECT: &str = "portcullis/src/dialect";
const LINKS: &str = "portcullis/src/links";
const REFUSAL: &str = "portcullis/src/refusal";
const SEAL: &str = "portcullis/src/seal";
const SESSION: &str = "portcullis/src/session";
const TICKET: &str = "portcullis/src/ticket";
const VERIFY: &str = "portcullis/src/verify";
const WS: &str = "portcullis/src/ws";
const JWT: &str = "portcullis-jwt/src";
const REDIS: &str = "portcullis-redis/src/client.rs";
const REDIS_REVOCATIONS: &str = "portcullis-redis/src/revocations";
const REDIS_TICKETS: &str = "portcullis-redis/src/tickets.rs";
const REDIS_VERIFICATIONS: &str = "portcullis-redis/src/verifications";

#[rustfmt::skip] // one line for each row
const ROWS: &[Row] = &[
    // the handshake
    ("a credential, decoded", "8 KiB", CARRIER, "MAX_CREDENTIAL: usize = 8 * 1024;"),
    ("subprotocols offered", "16", CARRIER, "MAX_ENTRIES: usize = 16;"),
    ("query parameters, if the query is a carrier", "64", CARRIER, "MAX_PAIRS: usize = 64;"),
    ("all `Cookie` lines together", "16 KiB", CARRIER, "MAX_COOKIES: usize = 16 * 1024;"),
    ("time for the verifier", "10 s", ADMISSION, "verify_timeout: Duration::from_secs(10),"),
    ("time after its expiry in which a verifier may accept a credential", "60 s", ADMISSION, "LEEWAY: Duration = Duration::from_secs(60);"),
    ("`Retry-After` of a 503, if the verifier sets none", "5 s", REFUSAL, "DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);"),
    ("origins that may use a cookie", "the server's own, over `http`", ADMISSION, "Default)]\npub(crate) struct OriginPolicy {"),
    ("allowed hosts", "all", ADMISSION, "Default)]\npub(crate) struct OriginPolicy {"),
    ("a request without a credential", "refused", ADMISSION, "anonymous: false,"),
    ("sockets refused in band that wait for the client's answer", "1,024", ADMISSION, "Semaphore::const_new(1024);"),
    ("… time for each", "3 s", CLOSE, "CLOSE_TIMEOUT: Duration = Duration::from_secs(3);"),
    // a cached verifier
    ("cached identities", "10,000", VERIFY, "max_entries: 10_000,"),
    ("time to live of an identity", "10 s, and not beyond its expiry", VERIFY, "time_to_live: Duration::from_secs(10),"),
    ("failures", "not cached", VERIFY, "failures_live: None,"),
    ("cached failures, if enabled", "1,000", VERIFY, "max_failures: 1_000,"),
    ("concurrent lookups", "1,000", VERIFY, "max_lookups: 1_000,"),
    ("time for a lookup", "30 s", VERIFY, "lookup_timeout: Duration::from_secs(30),"),
    // a guarded socket
    ("read buffer", "4 KiB", WS, "config.read_buffer_size = 4 * 1024;"),
    ("write buffer", "0: every message is written immediately", WS, "config.write_buffer_size = 0;"),
    ("data waiting to be written", "4 MiB", WS, "config.max_write_buffer_size = 4 * 1024 * 1024;"),
    ("a message", "1 MiB", WS, "config.max_message_size = Some(1024 * 1024);"),
    ("a frame", "1 MiB", WS, "config.max_frame_size = Some(1024 * 1024);"),
    // a session
    ("lifetime of a session", "a day", SESSION, "max_lifetime: DAY,"),
    ("time after the expiry of its credential", "none", SESSION, "leeway: Duration::ZERO,"),
    ("random shortening of lifetimes", "none", SESSION, "jitter: 0.0,"),
    ("warning before the end", "none", SESSION, "warning: Duration::ZERO,"),
    ("re-checks of open sessions", "none", SESSION, "recheck: None,"),
    ("… time without an answer of the verifier", "5 min", SESSION, "recheck_grace: Duration::from_secs(300),"),
    ("… at the same time", "64", SESSION, "MAX_RECHECKS: usize = 64;"),
    ("pings of the server", "none", SESSION, "ping: None,"),
    ("shortest interval of pings and re-checks", "100 ms", SESSION, "SHORTEST_INTERVAL: Duration = Duration::from_millis(100);"),
    ("time until a clock change is noticed", "1 s", SESSION, "LONGEST_SLEEP: Duration = Duration::from_secs(1);"),
    ("time for the client to answer a close frame", "3 s", CLOSE, "CLOSE_TIMEOUT: Duration = Duration::from_secs(3);"),
    ("reason of a close frame", "123 bytes", CLOSE, "MAX_REASON: usize = 123;"),
    ("sessions in all", "100,000", SESSION, "total: 100_000,"),
    ("sessions of one subject", "unlimited", SESSION, "per_subject: None,"),
    ("time for which a revocation is remembered", "30 days", SESSION, "max_credential_lifetime: 30 * DAY,"),
    ("silence of the store before the policy applies", "30 s", SESSION, "max_lag: Duration::from_secs(30),"),
    ("… the policy", "`LagPolicy::Stay`", SESSION, "#[default]\n    Stay,"),
    ("events that a reader of `Sessions::events` may lag behind", "1,024", SESSION, "MAX_BEHIND: usize = 1024;"),
    ("body of a renewal or of a request for a ticket", "1 KiB", WS, "to_bytes(body, 1024)"),
    // a pending socket
    ("time to authenticate", "5 s", DIALECT, "fn time_limit(&self) -> Duration {\n        Duration::from_secs(5)"),
    ("… with graphql-ws", "3 s", DIALECT, "fn time_limit(&self) -> Duration {\n        Duration::from_secs(3)"),
    ("the message with the credential", "16 KiB", DIALECT, "MAX_MESSAGE: usize = 16 * 1024;"),
    ("bytes read before authentication", "20 KiB", WS, "MAX_READ: usize = MAX_MESSAGE + 4 * 1024;"),
    ("attempts, if the dialect allows several", "3", WS, "MAX_ATTEMPTS: usize = 3;"),
    ("pending sockets", "4,096 in all, 256 of one address or IPv6 /64 network", DIALECT, "total: 4096,\n            per_address: 256,"),
    // tickets
    ("lifetime of a ticket", "30 s, which is also the maximum", TICKET, "LONGEST: Duration = Duration::from_secs(30);"),
    ("tickets in memory", "10,000", TICKET, "MemoryTickets::new(10_000)"),
    ("bound to `Origin` and address", "no", TICKET, "bind_origin: false,\n            bind_peer: false,"),
    // links and cookies
    ("lifetime of a sealed cookie", "8 hours, and not beyond the token's expiry", SEAL, "lifetime: Duration::from_secs(8 * 3600),"),
    ("its name", "64 bytes", SEAL, "MAX_NAME: usize = 64;"),
    ("its path", "`/`; 128 bytes at most", SEAL, "MAX_PATH: usize = 128;"),
    ("cookies that a long token is split over", "3", SEAL, "MAX_PARTS: usize = 3;"),
    ("size of each", "3,700 bytes", SEAL, "PART: usize = 3700;"),
    ("time to answer \"Continue as alice?\"", "5 min", LINKS, "OPEN_FOR: Duration = Duration::from_secs(300);"),
    ("links that ask for confirmation", "`LinkPolicy::AskIfForeign`", LINKS, "#[default]\n    AskIfForeign,"),
    ("cookies sealed with one key", "2³², then [rotate](links-and-cookies.md#rotation)", SEAL, "some 2³² cookies were sealed with one key"),
    // JSON Web Tokens
    ("a token", "8 KiB", JWT, "MAX_TOKEN_LENGTH: usize = 8 * 1024;"),
    ("`sub` and `jti`", "1 KiB", JWT, "MAX_NAME_LENGTH: usize = 1024;"),
    ("keys in a set", "128", JWT, "MAX_KEYS: usize = 128;"),
    ("leeway for `exp`, `nbf` and `iat`", "30 s", JWT, "DEFAULT_LEEWAY: Duration = Duration::from_secs(30);"),
    ("… at most", "60 s", JWT, "MAX_LEEWAY: Duration = Duration::from_secs(60);"),
    ("lifetime of an identity", "365 days", JWT, "max_lifetime: YEAR,"),
    // Redis
    ("time for a call, with connecting and queueing", "1 s", REDIS, "deadline: Duration::from_secs(1),"),
    ("concurrent calls", "256", REDIS, "max_commands: 256,"),
    ("prefix of keys and channels", "`portcullis:`", REDIS, "prefix: \"portcullis:\".to_owned(),"),
    ("interval of checks for missed revocations", "1 s", REDIS_REVOCATIONS, "check_every: Duration::from_secs(1),"),
    ("interval of reading all revocations", "10 s", REDIS_REVOCATIONS, "read_every: Duration::from_secs(10),"),
    ("replicas that acknowledge a revocation", "0", REDIS_REVOCATIONS, "replicas: 0,"),
    ("replicas that acknowledge a redemption", "0", REDIS_TICKETS, "replicas: 0,"),
    ("time for which a revocation is kept after its end", "1 hour", REDIS_REVOCATIONS, "MARGIN: Duration = Duration::from_secs(3_600);"),
    ("lifetime of a verification result", "10 s, and not beyond its expiry", REDIS_VERIFICATIONS, "time_to_live: Duration::from_secs(10),"),
    ("time to look up a result", "100 ms", REDIS_VERIFICATIONS, "lookup_limit: Duration::from_millis(100),"),
    ("pause after a failed call", "1 s", REDIS_VERIFICATIONS, "PAUSE: Duration = Duration::from_secs(1);"),
    ("size of a result", "64 KiB", REDIS_VERIFICATIONS, "MAX_LENGTH: usize = 64 * 1024;"),
];

#[test]
fn every_documented_limit_is_the_limit_in_the_code() {
    let chapter = read("docs/limits.md");
    let documented: Vec<_> = chapter.lines().filter_map(row).collect();
    let checked: Vec<_> = ROWS
        .iter()
        .map(|&(what, value, ..)| (what, value))
        .collect();
    assert_eq!(
        documented, checked,
        "the rows of docs/limits.md differ from the rows in this file"
    );

    let differs = |&&(_, _, place, code): &&Row| !contains(&at(&format!("crates/{place}")), code);
    let differing: Vec<_> = ROWS.iter().filter(differs).collect();
    assert!(
        differing.is_empty(),
        "the code has other limits: {differing:#?}"
    );
}

/// Returns the first two cells of a line that is a row but no heading.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let row = (cells.next()?, cells.next()?);
    (row != ("what", "value") && row != ("---", "---")).then_some(row)
}

/// Returns whether a file, or a file in a folder, contains `code`. Test modules do not count.
fn contains(path: &Path, code: &str) -> bool {
    if path.file_stem().is_some_and(|name| name == "tests") {
        return false;
    }
    match fs::read_dir(path) {
        Ok(files) => files
            .map(|file| file.expect("the folder can be read").path())
            .any(|file| contains(&file, code)),
        Err(_) => fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .contains(code),
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(at(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn at(place: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(place)
}
