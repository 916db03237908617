//! The DEBUG event of a refused token: reason, expected value and value of the token.

use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac::HMAC_SHA256;
use portcullis_core::{Credential, Verify as _};
use portcullis_jwt::{Algorithm, Jwt, JwtError};
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{
    NOW, SECRET, claims, encode, mac, public_key, secret_key, sign, token, valid_claims, verifier,
};

const HEADER: &str = r#"{"alg":"HS256"}"#;

/// Collects what a subscriber writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Returns what is logged up to `level` while `jwt` refuses the token.
fn log_of(jwt: &Jwt, token: &str, level: Level) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(log.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    // With a single subscriber, a test on another thread, which has none, could disable the event
    // for all threads.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    tracing::subscriber::with_default(subscriber, || {
        let credential = Credential::basic("alice", token);
        assert!(jwt.verify_now(&credential).unwrap().is_err());
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for part in token.split('.').filter(|part| part.len() > 8) {
        assert!(!log.contains(part), "{log}");
    }
    log
}

fn with_claims(replaced: &[(&str, &str)]) -> String {
    token(HEADER, claims(replaced), sign(Algorithm::HS256))
}

fn with_header(header: &str) -> String {
    token(header, valid_claims(), sign(Algorithm::HS256))
}

#[test]
fn event_contains_reason_and_compared_values() {
    let jwt = verifier(secret_key().with_id("2026")).or_audience("mail");
    let jwt = jwt.kind("at+jwt").build().unwrap();
    let accepted_kind = |replaced: &[(&str, &str)]| {
        let header = r#"{"alg":"HS256","typ":"at+jwt"}"#;
        token(header, claims(replaced), sign(Algorithm::HS256))
    };
    let forged = token(
        r#"{"alg":"HS256","typ":"at+jwt","kid":"2026"}"#,
        valid_claims(),
        |message| mac(HMAC_SHA256, b"another secret", message),
    );
    let cases = [
        (
            accepted_kind(&[("iss", r#""https://other.example""#)]),
            JwtError::Issuer,
            r#"expected="\"https://idp.example\"" found="\"https://other.example\"""#,
        ),
        (
            accepted_kind(&[("iss", "")]),
            JwtError::Issuer,
            r#"found="missing""#,
        ),
        (
            accepted_kind(&[("aud", r#"["chess","maps"]"#)]),
            JwtError::Audience,
            r#"expected="\"chat\", \"mail\"" found="\"chess\", \"maps\"""#,
        ),
        (
            accepted_kind(&[("aud", "")]),
            JwtError::Audience,
            r#"found="none""#,
        ),
        (
            accepted_kind(&[("exp", "1899990000")]),
            JwtError::Expired,
            r#"expected="after 1900000000 (now), leeway 30s" found="1899990000""#,
        ),
        (
            accepted_kind(&[("nbf", "1900000060.5")]),
            JwtError::NotYetValid,
            r#"expected="at most 1900000000 (now), leeway 30s" found="1900000060""#,
        ),
        (
            accepted_kind(&[("sub", r#""bob""#)]),
            JwtError::Subject,
            r#"expected="the user name that was sent with the token" found="\"bob\"""#,
        ),
        (
            accepted_kind(&[("aud", "5")]),
            JwtError::Claims,
            "invalid type: integer `5`, expected a string or an array of strings",
        ),
        (
            with_header(HEADER),
            JwtError::Kind,
            r#"expected="\"at+jwt\"" found="missing""#,
        ),
        (
            with_header(r#"{"alg":"RS256","typ":"at+jwt","kid":"2025"}"#),
            JwtError::Key,
            r#"expected="HS256 with the kid \"2026\"" found="alg \"RS256\", kid \"2025\"""#,
        ),
        (
            forged,
            JwtError::Signature,
            r#"expected="HS256 with the kid \"2026\"""#,
        ),
        ("a.b".to_owned(), JwtError::Malformed, ""),
    ];
    for (token, reason, values) in cases {
        let log = log_of(&jwt, &token, Level::DEBUG);
        let prefix = format!("DEBUG portcullis: JWT refused reason={reason} ");
        assert!(log.starts_with(prefix.trim_end()), "{log}");
        assert!(log.contains(values), "{log}does not contain {values}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
}

#[test]
fn values_of_the_token_are_escaped_and_shortened() {
    let jwt = verifier(secret_key()).build().unwrap();
    let long = format!(r#""\u001b[31m\n\u202e{}""#, "x".repeat(4000));
    let header = format!(r#"{{"alg":{long}}}"#);
    let many = format!("[{}]", vec![r#""x""#; 900].join(","));
    for token in [
        with_claims(&[("iss", &long)]),
        with_claims(&[("aud", &format!("[{long}]"))]),
        with_claims(&[("aud", &many)]),
        with_claims(&[("sub", &long)]),
        with_claims(&[("exp", &long)]),
        with_header(&header),
    ] {
        let log = log_of(&jwt, &token, Level::DEBUG);
        assert!(log.len() < 600, "{log}");
        assert!(
            !log.trim_end().contains(['\u{1b}', '\u{202e}', '\n']),
            "{log}"
        );
    }
}

#[test]
fn nothing_is_logged_above_debug() {
    let jwt = verifier(secret_key()).build().unwrap();
    for token in [
        with_claims(&[("iss", r#""https://other.example""#)]),
        with_claims(&[("exp", "1")]),
        "a.b.c".to_owned(),
    ] {
        assert_eq!(log_of(&jwt, &token, Level::INFO), "");
    }
}

#[test]
fn secrets_and_token_bytes_are_not_logged() {
    for key in [secret_key(), public_key(Algorithm::ES256)] {
        let jwt = verifier(key).build().unwrap();
        let expired = claims(&[("exp", &(NOW - 600).to_string())]);
        for token in [
            token(HEADER, &expired, sign(Algorithm::HS256)),
            token(HEADER, &expired, |_| vec![7; 32]),
            token(r#"{"alg":"ES256"}"#, &expired, |_| vec![7; 64]),
        ] {
            // Checks for the parts of the token, too.
            let log = log_of(&jwt, &token, Level::TRACE);
            assert!(log.contains("JWT refused"), "{log}");
            assert!(!log.contains("a secret of"), "{log}");
            assert!(!log.contains(&encode(SECRET)[..16]), "{log}");
        }
    }
}
