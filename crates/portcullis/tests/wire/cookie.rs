//! The cookie as a carrier: RFC 6265, read byte for byte. The cookie is `__Host-s`.
//!
//! A browser attaches it by itself, so every handshake here comes from an allowed page; what the
//! `Origin` decides is a table of its own. Sealed cookies have their own tests, too.

use http::header::COOKIE;
use portcullis::Profile;
use portcullis::carrier::Cookie;

use crate::site::Site;
use crate::table::Table;

const TOKENS: &[(&str, &str)] = &[
    ("alice", "s3cret"),
    ("bob", "%41!#$&'()*+-./:<=>?@[]^_`{|}~"),
];

/// The lines of the header, what comes of them, and the lines that the handler sees. Over HTTP/2 a
/// line is what RFC 9113 §8.2.3 calls a crumb.
#[rustfmt::skip]
const ROWS: &[(&[&str], &str, &[&str])] = &[
    // Nothing here.
    (&[], "401 missing-credential", &[]),
    (&["a=1"], "401 missing-credential", &[]),
    // Present and empty: what a log-out leaves behind in some clients.
    (&["__Host-s="], "401 missing-credential", &[]),
    (&["__Host-s"], "401 missing-credential", &[]),
    // Somewhere among others, which stay as they are.
    (&["__Host-s=s3cret"], "open alice by cookie", &[]),
    (&["a=1; __Host-s=s3cret; b=2"], "open alice by cookie", &["a=1; b=2"]),
    (&["__Host-s=s3cret; b=\"2\" ;c;;d="], "open alice by cookie", &["b=\"2\" ;c;;d="]),
    (&["a=1;__Host-s=s3cret"], "open alice by cookie", &["a=1"]),
    (&["a=1", "__Host-s=s3cret", "b=2"], "open alice by cookie", &["a=1", "b=2"]),
    (&["a=1; b=2", "c; __Host-s=s3cret"], "open alice by cookie", &["a=1; b=2", "c"]),
    (&["__Host-s=s3crets"], "401 invalid-credential", &[]),
    // Twice. A neighbouring domain can plant one beside the real one.
    (&["__Host-s=s3cret; __Host-s=s3cret"], "400 malformed-credential", &[]),
    (&["__Host-s=evil; __Host-s=s3cret"], "400 malformed-credential", &[]),
    (&["__Host-s=s3cret; a=1; __Host-s=evil"], "400 malformed-credential", &[]),
    (&["__Host-s=s3cret", "__Host-s=evil"], "400 malformed-credential", &[]),
    (&["__Host-s=; __Host-s=s3cret"], "400 malformed-credential", &[]),
    // Names are byte-exact, and never decoded: not one of these is ours.
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
    // A comma ends no cookie, and RFC 2965 is history.
    (&["a=1, __Host-s=s3cret"], "401 missing-credential", &[]),
    (&["$Version=1; __Host-s=s3cret; $Path=/"], "open alice by cookie", &["$Version=1; $Path=/"]),
    // White space around a value is not a part of it (RFC 6265 §5.2); around a name it is.
    (&["a=1;   __Host-s= s3cret ; b=2"], "open alice by cookie", &["a=1; b=2"]),
    // Values are not decoded, and have no characters that a cookie cannot have.
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
async fn table() {
    let site = Site::new(TOKENS, |auth| auth.profile(profile()));
    let mut table = Table::new();
    for (lines, expected, left) in ROWS {
        let outcome = site
            .ask(|client| {
                let page = client.websocket("/ws").origin("http://localhost");
                lines.iter().fold(page, |request, line| {
                    request.header(COOKIE, line.as_bytes())
                })
            })
            .await;
        table.row(lines, expected, &outcome);
        let seen = format!("{:?}", outcome.left("cookie"));
        table.row((lines, "left"), format!("{left:?}"), seen);
    }
    table.finish();
}

/// Many others in front of it.
#[tokio::test]
async fn behind_many_others() {
    let site = Site::new(TOKENS, |auth| auth.profile(profile()));
    let others: Vec<_> = (0..64).map(|number| format!("c{number}=v")).collect();
    let others = others.join("; ");
    let outcome = site
        .ask(|client| {
            let page = client.websocket("/ws").origin("http://localhost");
            page.header(COOKIE, format!("{others}; __Host-s=s3cret"))
        })
        .await;
    assert_eq!(outcome.to_string(), "open alice by cookie");
    assert_eq!(outcome.left("cookie"), [others]);
}

/// Two cookies that are carriers are two credentials, if they differ.
#[tokio::test]
async fn two_carriers() {
    let profile = || profile().carrier(Cookie::named("old"));
    let site = Site::new(TOKENS, |auth| auth.profile(profile()));
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
        let outcome = site
            .ask(|client| {
                let page = client.websocket("/ws").origin("http://localhost");
                page.header(COOKIE, line)
            })
            .await;
        table.row(line, expected, &outcome);
        assert!(outcome.left("cookie").is_empty(), "{line}");
    }
    table.finish();
}

fn profile() -> Profile {
    Profile::default().carrier(Cookie::named("__Host-s"))
}
