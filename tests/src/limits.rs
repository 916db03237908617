//! Holds the tables of `docs/limits.md` to the code: every row has one line here, with the place
//! and the words where the code says the same.

use std::fs;
use std::path::{Path, PathBuf};

/// The first two cells of a row, a file or a folder below `crates/`, and what that has to contain.
type Row = (&'static str, &'static str, &'static str, &'static str);

const JWT: &str = "portcullis-jwt/src/builder.rs";
const REDIS: &str = "portcullis-redis/src/client.rs";
const REDIS_REVOCATIONS: &str = "portcullis-redis/src/revocations/mod.rs";
const REDIS_VERIFICATIONS: &str = "portcullis-redis/src/verifications/mod.rs";
const ADMISSION: &str = "portcullis/src/auth/admission.rs";
const LAYER: &str = "portcullis/src/auth/layer.rs";
const ORIGIN: &str = "portcullis/src/auth/origin.rs";
const IN_BAND: &str = "portcullis/src/auth/in_band.rs";
const UPGRADE: &str = "portcullis/src/axum/guarded_upgrade.rs";
const IDENTIFY: &str = "portcullis/src/axum/identify.rs";
const CARRIER: &str = "portcullis/src/carrier/mod.rs";
const DIALECT: &str = "portcullis/src/dialect/mod.rs";
const COOKIE: &str = "portcullis/src/seal/cookie.rs";
const SESSION: &str = "portcullis/src/session";
const CACHE: &str = "portcullis/src/verify/cached/config.rs";
const TICKETS: &str = "portcullis/src/ticket/tickets.rs";

#[rustfmt::skip] // a table, a line for a row
const ROWS: &[Row] = &[
    // the handshake
    ("a credential, decoded", "8 KiB", CARRIER, "MAX_CREDENTIAL: usize = 8 * 1024;"),
    ("subprotocols offered", "16", CARRIER, "MAX_ENTRIES: usize = 16;"),
    ("query parameters, if the query is a carrier", "64", CARRIER, "MAX_PAIRS: usize = 64;"),
    ("all `Cookie` lines together", "16 KiB", CARRIER, "MAX_COOKIES: usize = 16 * 1024;"),
    ("time for the verifier", "10 s", LAYER, "verify_timeout: Duration::from_secs(10),"),
    ("time after its expiry in which a verifier may accept a credential", "60 s", ADMISSION, "LEEWAY: Duration = Duration::from_secs(60);"),
    ("`Retry-After` of a 503, if the verifier sets none", "5 s", "portcullis/src/refusal/mod.rs", "DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);"),
    ("origins that may use a cookie", "the server's own, over `http`", ORIGIN, "Default)]\npub(crate) struct OriginPolicy {"),
    ("allowed hosts", "all", ORIGIN, "Default)]\npub(crate) struct OriginPolicy {"),
    ("a request without a credential", "refused", LAYER, "anonymous: false,"),
    ("sockets refused in band that wait for the client's answer", "1,024", IN_BAND, "Semaphore::const_new(1024);"),
    ("… time for each", "3 s", IN_BAND, "GRACE: Duration = Duration::from_secs(3);"),
    // a cached verifier
    ("cached identities", "10,000", CACHE, "max_entries: 10_000,"),
    ("time to live of an identity", "10 s, and not beyond its expiry", CACHE, "time_to_live: Duration::from_secs(10),"),
    ("failures", "not cached", CACHE, "failures_live: None,"),
    ("cached failures, if enabled", "1,000", CACHE, "max_failures: 1_000,"),
    ("concurrent lookups", "1,000", CACHE, "max_lookups: 1_000,"),
    ("time for a lookup", "30 s", CACHE, "lookup_timeout: Duration::from_secs(30),"),
    // a guarded socket
    ("read buffer", "4 KiB", UPGRADE, "config.read_buffer_size = 4 * 1024;"),
    ("write buffer", "0: every message is written immediately", UPGRADE, "config.write_buffer_size = 0;"),
    ("data waiting to be written", "4 MiB", UPGRADE, "config.max_write_buffer_size = 4 * 1024 * 1024;"),
    ("a message", "1 MiB", UPGRADE, "config.max_message_size = Some(1024 * 1024);"),
    ("a frame", "1 MiB", UPGRADE, "config.max_frame_size = Some(1024 * 1024);"),
    // sessions
    ("lifetime of a session", "a day", SESSION, "max_lifetime: DAY,"),
    ("time after the expiry of its credential", "none", SESSION, "leeway: Duration::ZERO,"),
    ("random shortening of lifetimes", "none", SESSION, "jitter: 0.0,"),
    ("warning before the end", "none", SESSION, "warning: Duration::ZERO,"),
    ("re-checks of open sessions", "none", SESSION, "recheck: None,"),
    ("… time without an answer of the verifier", "5 min", SESSION, "recheck_grace: Duration::from_secs(300),"),
    ("… at the same time", "64", SESSION, "AT_ONCE: usize = 64;"),
    ("pings of the server", "none", SESSION, "ping: None,"),
    ("shortest interval of pings and re-checks", "100 ms", SESSION, "ping = Some(time.max(Duration::from_millis(100)));"),
    ("time until a clock change is noticed", "1 s", SESSION, "PIECE: Duration = Duration::from_secs(1);"),
    ("time for the client to answer a close frame", "3 s", SESSION, "GRACE: Duration = Duration::from_secs(3);"),
    ("reason of a close frame", "123 bytes", SESSION, "LONGEST_REASON: usize = 123;"),
    ("sessions in all", "100,000", SESSION, "total: 100_000,"),
    ("sessions of one subject", "unlimited", SESSION, "per_subject: None,"),
    ("time for which a revocation is remembered", "30 days", SESSION, "longest_credential: 30 * DAY,"),
    ("silence of the store before the policy applies", "30 s", SESSION, "max_lag: Duration::from_secs(30),"),
    ("… the policy", "`LagPolicy::Stay`", SESSION, "#[default]\n    Stay,"),
    ("events that a reader of `Sessions::events` may lag behind", "1,024", SESSION, "EVENTS: usize = 1024;"),
    ("body of a renewal or of a request for a ticket", "1 KiB", "portcullis/src/axum/handlers.rs", "to_bytes(body, 1024)"),
    // pending sockets
    ("time to authenticate", "5 s", DIALECT, "fn time_limit(&self) -> Duration {\n        Duration::from_secs(5)"),
    ("… with graphql-ws", "3 s", "portcullis/src/dialect/graphql_ws.rs", "fn time_limit(&self) -> Duration {\n        Duration::from_secs(3)"),
    ("the message with the credential", "16 KiB", DIALECT, "LONGEST_MESSAGE: usize = 16 * 1024;"),
    ("bytes read before authentication", "20 KiB", IDENTIFY, "MOST_READ: usize = LONGEST_MESSAGE + 4 * 1024;"),
    ("attempts, if the dialect allows several", "3", IDENTIFY, "MOST_ATTEMPTS: usize = 3;"),
    ("pending sockets", "4,096 in all, 256 of one address or IPv6 /64 network", "portcullis/src/dialect/pending.rs", "Self::new(4096, 256)"),
    // tickets
    ("lifetime of a ticket", "30 s, which is also the maximum", TICKETS, "LONGEST: Duration = Duration::from_secs(30);"),
    ("tickets in memory", "10,000", TICKETS, "MemoryTickets::new(10_000)"),
    ("bound to `Origin` and address", "no", TICKETS, "bind_origin: false,\n            bind_peer: false,"),
    // links and cookies
    ("lifetime of a sealed cookie", "8 hours, and not beyond the token's expiry", COOKIE, "lifetime: Duration::from_secs(8 * 3600),"),
    ("its name", "64 bytes", COOKIE, "MAX_NAME: usize = 64;"),
    ("its path", "`/`; 128 bytes at most", COOKIE, "MAX_PATH: usize = 128;"),
    ("cookies that a long token is split over", "3", COOKIE, "MAX_PARTS: usize = 3;"),
    ("size of each", "3,700 bytes", COOKIE, "PART: usize = 3700;"),
    ("time to answer \"Continue as alice?\"", "5 min", "portcullis/src/persist/confirmation.rs", "OPEN_FOR: Duration = Duration::from_secs(300);"),
    ("links that ask for confirmation", "`LinkPolicy::AskIfForeign`", "portcullis/src/persist/layer.rs", "#[default]\n    AskIfForeign,"),
    ("cookies sealed with one key", "2³², then [rotate](links-and-cookies.md#rotation)", "portcullis/src/seal/key.rs", "some 2³² cookies were sealed with one key"),
    // JSON Web Tokens
    ("a token", "8 KiB", "portcullis-jwt/src/token.rs", "MAX_TOKEN_LENGTH: usize = 8 * 1024;"),
    ("`sub` and `jti`", "1 KiB", "portcullis-jwt/src/verifier.rs", "MAX_NAME_LENGTH: usize = 1024;"),
    ("keys in a set", "128", "portcullis-jwt/src/key_set.rs", "MAX_KEYS: usize = 128;"),
    ("leeway for `exp`, `nbf` and `iat`", "30 s", JWT, "DEFAULT_LEEWAY: Duration = Duration::from_secs(30);"),
    ("… at most", "60 s", JWT, "MAX_LEEWAY: Duration = Duration::from_secs(60);"),
    ("lifetime of an identity", "365 days", JWT, "longest_lifetime: YEAR,"),
    // Redis
    ("time for a call, with connecting and queueing", "1 s", REDIS, "deadline: Duration::from_secs(1),"),
    ("concurrent calls", "256", REDIS, "max_commands: 256,"),
    ("prefix of keys and channels", "`portcullis:`", REDIS, "prefix: \"portcullis:\".to_owned(),"),
    ("interval of checks for missed revocations", "1 s", REDIS_REVOCATIONS, "check_every: Duration::from_secs(1),"),
    ("interval of reading all revocations", "10 s", REDIS_REVOCATIONS, "read_every: Duration::from_secs(10),"),
    ("replicas that acknowledge a revocation", "0", REDIS_REVOCATIONS, "replicas: 0,"),
    ("replicas that acknowledge a redemption", "0", "portcullis-redis/src/tickets.rs", "replicas: 0,"),
    ("time for which a revocation is kept after its end", "1 hour", REDIS_REVOCATIONS, "MARGIN: Duration = Duration::from_secs(3_600);"),
    ("lifetime of a verification result", "10 s, and not beyond its expiry", REDIS_VERIFICATIONS, "time_to_live: Duration::from_secs(10),"),
    ("time to look up a result", "100 ms", REDIS_VERIFICATIONS, "lookup_limit: Duration::from_millis(100),"),
    ("pause after a failed call", "1 s", REDIS_VERIFICATIONS, "PAUSE: Duration = Duration::from_secs(1);"),
    ("size of a result", "64 KiB", "portcullis-redis/src/verifications/kept.rs", "MAX: usize = 64 * 1024;"),
];

#[test]
fn every_row_of_the_tables_is_what_the_code_says() {
    let chapter = read("docs/limits.md");
    let told: Vec<_> = chapter.lines().filter_map(row).collect();
    let held: Vec<_> = ROWS
        .iter()
        .map(|&(what, value, ..)| (what, value))
        .collect();
    assert_eq!(
        told, held,
        "the rows of docs/limits.md, and the rows that are held here"
    );

    let differs = |&&(_, _, place, says): &&Row| !says_so(&at(&format!("crates/{place}")), says);
    let differing: Vec<_> = ROWS.iter().filter(differs).collect();
    assert!(
        differing.is_empty(),
        "the code says otherwise by now: {differing:#?}"
    );
}

/// The first two cells of a line, if it is a row with something to say.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let row = (cells.next()?, cells.next()?);
    (row != ("what", "value") && row != ("---", "---")).then_some(row)
}

/// Whether a file contains it, or one of those in a folder.
fn says_so(path: &Path, says: &str) -> bool {
    match fs::read_dir(path) {
        Ok(files) => files
            .map(|file| file.expect("the folder can be read").path())
            .any(|file| says_so(&file, says)),
        Err(_) => fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .contains(says),
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(at(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn at(place: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(place)
}
