//! The query as a carrier: RFC 3986 §3.4, one parameter, here `token`.

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::routing::any;
use portcullis::carrier::Query;
use portcullis::testing::Accepting;
use portcullis::{AuthLayer, Identity, Profile};

use crate::site::{Over, Site};
use crate::table::Table;

const TOKENS: &[(&str, &str)] = &[
    ("alice", "s3cret"),
    ("plus", "a+b"),
    ("space", "a b"),
    ("semicolon", "a;b"),
    ("tök", "tök"),
];

/// The address, what comes of it, and the address that the handler sees.
#[rustfmt::skip]
const ROWS: &[(&str, &str, &str)] = &[
    ("/ws", "401 missing-credential", ""),
    ("/ws?", "401 missing-credential", ""),
    ("/ws?a=1", "401 missing-credential", ""),
    // The rest of the query stays byte for byte; no `?` and no `&` is left behind.
    ("/ws?token=s3cret", "open alice by query", "/ws"),
    ("/ws?token=s3cret&a=1", "open alice by query", "/ws?a=1"),
    ("/ws?a=1&token=s3cret", "open alice by query", "/ws?a=1"),
    ("/ws?a=%20+%zz&token=s3cret&b", "open alice by query", "/ws?a=%20+%zz&b"),
    ("/ws?&&token=s3cret&&c=&=", "open alice by query", "/ws?&&&c=&="),
    ("/ws?a=?&token=s3cret&b=/", "open alice by query", "/ws?a=?&b=/"),
    ("/%77s/a%20b?token=s3cret", "open alice by query", "/%77s/a%20b"),
    // An absolute address (RFC 9112 §3.2.2), which every one is over HTTP/2.
    ("http://localhost/ws?token=s3cret&a", "open alice by query", "/ws?a"),
    // There, without a value.
    ("/ws?token", "400 malformed-credential", ""),
    ("/ws?token=", "400 malformed-credential", ""),
    ("/ws?token=&token", "400 malformed-credential", ""),
    // Twice: servers disagree about which of them counts (RFC 6750 §3.1).
    ("/ws?token=s3cret&token=s3cret", "400 malformed-credential", ""),
    ("/ws?token=s3cret&token=evil", "400 malformed-credential", ""),
    ("/ws?token=s3cret&a&token=", "400 malformed-credential", ""),
    ("/ws?token=s3cret&%74oken=s3cret", "400 malformed-credential", ""),
    // The name, decoded once, is `token`; or else it is another parameter.
    ("/ws?%74oken=s3cret", "open alice by query", "/ws"),
    ("/ws?t%6Fke%6e=s3cret", "open alice by query", "/ws"),
    ("/ws?%2574oken=s3cret", "401 missing-credential", ""),
    ("/ws?Token=s3cret", "401 missing-credential", ""),
    ("/ws?%54oken=s3cret", "401 missing-credential", ""),
    ("/ws?token[]=s3cret", "401 missing-credential", ""),
    ("/ws?token%00=s3cret", "401 missing-credential", ""),
    ("/ws?token+=s3cret", "401 missing-credential", ""),
    ("/ws?%20token=s3cret", "401 missing-credential", ""),
    ("/ws?xtoken=s3cret&tokenx=s3cret", "401 missing-credential", ""),
    ("/ws?a=token=s3cret", "401 missing-credential", ""),
    ("/ws?a%26token=s3cret", "401 missing-credential", ""),
    // Elsewhere in the address.
    ("/ws/token=s3cret", "401 missing-credential", ""),
    ("/ws;token=s3cret", "401 missing-credential", ""),
    ("/ws%3Ftoken=s3cret", "401 missing-credential", ""),
    // A client drops the fragment before it sends anything.
    ("/ws#token=s3cret", "401 missing-credential", ""),
    ("/ws?token=s3cret#x", "open alice by query", "/ws"),
    // A semicolon separates nothing.
    ("/ws?a=1;token=s3cret", "401 missing-credential", ""),
    ("/ws?token=s3cret;a=1", "401 invalid-credential", ""),
    ("/ws?token=a;b", "open semicolon by query", "/ws"),
    // A plus is a plus: base64 has it.
    ("/ws?token=a+b", "open plus by query", "/ws"),
    ("/ws?token=a%2Bb", "open plus by query", "/ws"),
    ("/ws?token=a%20b", "open space by query", "/ws"),
    // Percent-encoding, decoded once, strictly, to printable UTF-8.
    ("/ws?token=%73%33cret", "open alice by query", "/ws"),
    ("/ws?token=%2573%2533cret", "401 invalid-credential", ""),
    ("/ws?token=s3cret%26a=1", "401 invalid-credential", ""),
    ("/ws?token=s3cret=", "401 invalid-credential", ""),
    ("/ws?token=t%C3%B6k", "open tök by query", "/ws"),
    ("/ws?token=t%c3%b6k", "open tök by query", "/ws"),
    ("/ws?token=tök", "open tök by query", "/ws"),
    ("/ws?token=%", "400 malformed-credential", ""),
    ("/ws?token=s3cret%", "400 malformed-credential", ""),
    ("/ws?token=s3cret%2", "400 malformed-credential", ""),
    ("/ws?token=%zz", "400 malformed-credential", ""),
    ("/ws?token=%+1", "400 malformed-credential", ""),
    ("/ws?token=%ff", "400 malformed-credential", ""),
    ("/ws?token=t%f6k", "400 malformed-credential", ""),
    ("/ws?token=%C0%80", "400 malformed-credential", ""),
    ("/ws?token=%ED%A0%80", "400 malformed-credential", ""),
    ("/ws?token=s3cret%00", "400 malformed-credential", ""),
    ("/ws?token=s3cret%0D%0A", "400 malformed-credential", ""),
    ("/ws?token=%7f", "400 malformed-credential", ""),
];

#[tokio::test]
async fn table() {
    let site = Site::new(TOKENS, |auth| auth.profile(profile()));
    let mut table = Table::new();
    for (address, expected, left) in ROWS {
        let outcome = site.ask(|client| client.websocket(address)).await;
        table.row(address, expected, &outcome);
        let (seen, original) = outcome.addresses();
        table.row((address, "left"), left, seen);
        table.row((address, "left of OriginalUri"), left, original);
    }
    table.finish();
}

/// Only a profile that asks for it reads the query.
#[tokio::test]
async fn is_off_by_default() {
    let site = Site::new(TOKENS, |auth| auth);
    let outcome = site
        .ask(|client| client.websocket("/ws?token=s3cret"))
        .await;
    assert_eq!(outcome.to_string(), "401 missing-credential");
}

/// Tornado merges the body of a form into the arguments of the address. We read no body.
#[tokio::test]
async fn the_body_of_a_form_is_no_query() {
    let site = Site::new(TOKENS, |auth| auth.profile(profile()));
    let outcome = site
        .ask(|client| {
            let form = "application/x-www-form-urlencoded";
            let post = client.post("/page").header("content-type", form);
            post.body("token=s3cret")
        })
        .await;
    assert_eq!(outcome.to_string(), "401 missing-credential");
}

/// In a nested router the request's address is shorter than the one that axum keeps.
#[tokio::test]
async fn both_addresses_of_a_nested_router_are_clean() {
    let tell = |OriginalUri(original): OriginalUri, request: Request| async move {
        format!("{} of {original}", request.uri())
    };
    let verifier = Accepting::token("s3cret", Identity::new("alice"));
    let auth = AuthLayer::new(verifier).profile(profile());
    let inside = Router::new().route("/page", any(tell)).layer(auth.clone());
    let apps = [
        Router::new().nest("/a", Router::new().nest("/b", inside)),
        Router::new()
            .nest("/a", Router::new().route("/b/page", any(tell)))
            .layer(auth),
    ];
    for over in Over::BOTH {
        let [deep, flat] = apps.clone().map(|app| over.client(app));
        let address = "/a/b/page?x&token=s3cret&y";
        let answers = [
            deep.get(address).send().await,
            flat.get(address).send().await,
        ];
        let texts = answers.map(|answer| answer.text().replace("http://localhost", ""));
        assert_eq!(
            texts,
            ["/page?x&y of /a/b/page?x&y", "/b/page?x&y of /a/b/page?x&y"]
        );
    }
}

/// What a page loads names the page, whatever carrier its own credential is in.
#[tokio::test]
async fn no_handler_sees_the_token_of_the_page_that_a_request_comes_from() {
    let site = Site::new(TOKENS, |auth| auth.profile(profile()));
    for (address, bears) in [("/ws?token=s3cret", false), ("/ws", true)] {
        let outcome = site
            .ask(|client| {
                let page = "http://localhost/page?a&token=s3cret";
                let request = client.websocket(address).header("referer", page);
                match bears {
                    true => request.bearer("s3cret"),
                    false => request,
                }
            })
            .await;
        assert_eq!(outcome.left("referer"), ["http://localhost/page?a"]);
    }
}

fn profile() -> Profile {
    Profile::default().carrier(Query::named("token"))
}
