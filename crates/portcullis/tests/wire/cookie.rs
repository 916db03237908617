//! The cookie carrier (RFC 6265), parsed byte for byte. The cookie is `__Host-s`.
//!
//! Browsers attach cookies automatically, so every handshake here has an allowed origin. The tests
//! of [`origin`](crate::origin) cover the others.

use http::header::COOKIE;
use portcullis::Profile;
use portcullis::carrier::CookieCarrier;

use crate::support::{Matrix, Table, with_lines};

const TOKENS: &[(&str, &str)] = &[
    ("alice", "s3cret"),
    ("bob", "%41!#$&'()*+-./:<=>?@[]^_`{|}~"),
];

/// The lines of the header, the outcome, and the lines that the handler receives. Over HTTP/2 a
/// line is a crumb (RFC 9113 §8.2.3).
#[rustfmt::skip]
const ROWS: &[(&[&str], &str, &[&str])] = &[
    // No credential.
    (&[], "401 missing-credential", &[]),
    (&["a=1"], "401 missing-credential", &[]),
    // Some clients keep an empty cookie after a logout.
    (&["__Host-s="], "401 missing-credential", &[]),
    (&["__Host-s"], "401 missing-credential", &[]),
    // Among other cookies, which stay unchanged.
    (&["__Host-s=s3cret"], "open alice by cookie", &[]),
    (&["a=1; __Host-s=s3cret; b=2"], "open alice by cookie", &["a=1; b=2"]),
    (&["__Host-s=s3cret; b=\"2\" ;c;;d="], "open alice by cookie", &["b=\"2\" ;c;;d="]),
    (&["a=1;__Host-s=s3cret"], "open alice by cookie", &["a=1"]),
    (&["a=1", "__Host-s=s3cret", "b=2"], "open alice by cookie", &["a=1", "b=2"]),
    (&["a=1; b=2", "c; __Host-s=s3cret"], "open alice by cookie", &["a=1; b=2", "c"]),
    (&["__Host-s=s3crets"], "401 invalid-credential", &[]),
    // Twice. A sibling domain can set a second cookie of the same name.
    (&["__Host-s=s3cret; __Host-s=s3cret"], "400 malformed-credential", &[]),
    (&["__Host-s=evil; __Host-s=s3cret"], "400 malformed-credential", &[]),
    (&["__Host-s=s3cret; a=1; __Host-s=evil"], "400 malformed-credential", &[]),
    (&["__Host-s=s3cret", "__Host-s=evil"], "400 malformed-credential", &[]),
    (&["__Host-s=; __Host-s=s3cret"], "400 malformed-credential", &[]),
    // Names are compared byte for byte and never decoded, so these are other cookies.
    (&["%5F%5FHost-s=evil; __Host-s=s3cret"], "open alice by cookie", &["%5F%5FHost-s=evil"]),
    (&["__Host-s=s3cret; %5F%5FHost-s=evil"], "open alice by cookie", &["%5F%5FHost-s=evil"]),
    (&["__%48ost-s=s3cret"], "401 missing-credential", &[]),
    (&["__host-s=s3cret"], "401 missing-credential", &[]),
    (&["__HOST-S=s3cret"], "401 missing-credential", &[]),
    (&["__Host-s2=s3cret"], "401 missing-credential", &[]),
    (&["x__Host-s=s3cret"], "401 missing-credential", &[]),
    (&["\u{85}__Host-s=s3cret"], "401 missing-credential", &[]),
    (&["\u{a0}__Host-s=s3cret"], "401 missing-credential", &[]),
    (&["\u{2000}__Host-s=s3cret"], "401 missing-credential", &[]),
    (&["a=1;\u{a0}__Host-s=s3cret"], "401 missing-credential", &[]),
    (&["__Host-s =s3cret"], "401 missing-credential", &[]),
    (&["__Host-s\t=s3cret"], "401 missing-credential", &[]),
    (&["=__Host-s=s3cret"], "401 missing-credential", &[]),
    (&["a==__Host-s=s3cret"], "401 missing-credential", &[]),
    // A comma does not end a cookie, and RFC 2965 is obsolete.
    (&["a=1, __Host-s=s3cret"], "401 missing-credential", &[]),
    (&["$Version=1; __Host-s=s3cret; $Path=/"], "open alice by cookie", &["$Version=1; $Path=/"]),
    // White space around a value is not part of it (RFC 6265 §5.2).
    (&["a=1;   __Host-s= s3cret ; b=2"], "open alice by cookie", &["a=1; b=2"]),
    // Values are not decoded, and must consist of cookie octets.
    (&["__Host-s=%41!#$&'()*+-./:<=>?@[]^_`{|}~"], "open bob by cookie", &[]),
    (&["__Host-s=A!#$&'()*+-./:<=>?@[]^_`{|}~"], "401 invalid-credential", &[]),
    (&["__Host-s=s3%63ret"], "401 invalid-credential", &[]),
    (&["__Host-s==s3cret"], "401 invalid-credential", &[]),
    (&["__Host-s=\"s3cret\""], "400 malformed-credential", &[]),
    (&["__Host-s=s3cret\""], "400 malformed-credential", &[]),
    (&["__Host-s=s3cret,"], "400 malformed-credential", &[]),
    (&["__Host-s=s3 cret"], "400 malformed-credential", &[]),
    (&["__Host-s=s3\tcret"], "400 malformed-credential", &[]),
    (&["__Host-s=s3\\cret"], "400 malformed-credential", &[]),
    (&["__Host-s=s3crét"], "400 malformed-credential", &[]),
];

#[tokio::test]
async fn cookie_header_is_parsed_strictly() {
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(profile()));
    let mut table = Table::new();
    for (lines, expected, rest) in ROWS {
        let outcome = matrix
            .send(|client| {
                let page = client.websocket("/ws").origin("http://localhost");
                with_lines(page, &COOKIE, lines)
            })
            .await;
        table.row(lines, expected, &outcome);
        let received = format!("{:?}", outcome.received_lines("cookie"));
        table.row((lines, "received"), format!("{rest:?}"), received);
    }
    table.finish();
}

#[tokio::test]
async fn cookie_after_many_others_is_found() {
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(profile()));
    let others: Vec<_> = (0..64).map(|number| format!("c{number}=v")).collect();
    let others = others.join("; ");
    let outcome = matrix
        .send(|client| {
            let page = client.websocket("/ws").origin("http://localhost");
            page.header(COOKIE, format!("{others}; __Host-s=s3cret"))
        })
        .await;
    assert_eq!(outcome.to_string(), "open alice by cookie");
    assert_eq!(outcome.received_lines("cookie"), [others]);
}

#[tokio::test]
async fn different_values_of_two_cookie_carriers_conflict() {
    let profile = || profile().carrier(CookieCarrier::named("old"));
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(profile()));
    let rows = [
        ("old=s3cret", "open alice by cookie"),
        ("old=s3cret; __Host-s=s3cret", "open alice by cookie"),
        ("old=evil; __Host-s=s3cret", "400 conflicting-credentials"),
        ("old=s3cret; __Host-s=evil", "400 conflicting-credentials"),
        ("old=\"; __Host-s=s3cret", "400 malformed-credential"),
        ("__Host-s=\"; old=s3cret", "400 malformed-credential"),
    ];
    let mut table = Table::new();
    for (line, expected) in rows {
        let outcome = matrix
            .send(|client| {
                let page = client.websocket("/ws").origin("http://localhost");
                page.header(COOKIE, line)
            })
            .await;
        table.row(line, expected, &outcome);
        assert!(outcome.received_lines("cookie").is_empty(), "{line}");
    }
    table.finish();
}

fn profile() -> Profile {
    Profile::default().carrier(CookieCarrier::named("__Host-s"))
}
