//! The query carrier (RFC 3986 §3.4). The parameter is `token`.

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::routing::any;
use portcullis::carrier::QueryCarrier;
use portcullis::testing::Accepting;
use portcullis::{AuthLayer, Identity, Profile};

use crate::support::{HttpVersion, Matrix, Table};

const TOKENS: &[(&str, &str)] = &[
    ("alice", "s3cret"),
    ("plus", "a+b"),
    ("space", "a b"),
    ("semicolon", "a;b"),
    ("tök", "tök"),
];

/// The request target, the outcome, and the URI that the handler receives.
#[rustfmt::skip]
const ROWS: &[(&str, &str, &str)] = &[
    ("/ws", "401 missing-credential", ""),
    ("/ws?", "401 missing-credential", ""),
    ("/ws?a=1", "401 missing-credential", ""),
    // The rest of the query stays unchanged, byte for byte, without a spare `?` or `&`.
    ("/ws?token=s3cret", "open alice by query", "/ws"),
    ("/ws?token=s3cret&a=1", "open alice by query", "/ws?a=1"),
    ("/ws?a=1&token=s3cret", "open alice by query", "/ws?a=1"),
    ("/ws?a=%20+%zz&token=s3cret&b", "open alice by query", "/ws?a=%20+%zz&b"),
    ("/ws?&&token=s3cret&&c=&=", "open alice by query", "/ws?&&&c=&="),
    ("/ws?a=?&token=s3cret&b=/", "open alice by query", "/ws?a=?&b=/"),
    ("/%77s/a%20b?token=s3cret", "open alice by query", "/%77s/a%20b"),
    // Absolute form (RFC 9112 §3.2.2), which every HTTP/2 request has.
    ("http://localhost/ws?token=s3cret&a", "open alice by query", "/ws?a"),
    // Present without a value.
    ("/ws?token", "400 malformed-credential", ""),
    ("/ws?token=", "400 malformed-credential", ""),
    ("/ws?token=&token", "400 malformed-credential", ""),
    // Twice: servers disagree about which one counts (RFC 6750 §3.1).
    ("/ws?token=s3cret&token=s3cret", "400 malformed-credential", ""),
    ("/ws?token=s3cret&token=evil", "400 malformed-credential", ""),
    ("/ws?token=s3cret&a&token=", "400 malformed-credential", ""),
    ("/ws?token=s3cret&%74oken=s3cret", "400 malformed-credential", ""),
    // The name is decoded once. If the result is not `token`, it is another parameter.
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
    // Elsewhere in the URI.
    ("/ws/token=s3cret", "401 missing-credential", ""),
    ("/ws;token=s3cret", "401 missing-credential", ""),
    ("/ws%3Ftoken=s3cret", "401 missing-credential", ""),
    // The client removes the fragment.
    ("/ws#token=s3cret", "401 missing-credential", ""),
    ("/ws?token=s3cret#x", "open alice by query", "/ws"),
    // A semicolon is not a separator.
    ("/ws?a=1;token=s3cret", "401 missing-credential", ""),
    ("/ws?token=s3cret;a=1", "401 invalid-credential", ""),
    ("/ws?token=a;b", "open semicolon by query", "/ws"),
    // A plus is not a space, because base64 contains it.
    ("/ws?token=a+b", "open plus by query", "/ws"),
    ("/ws?token=a%2Bb", "open plus by query", "/ws"),
    ("/ws?token=a%20b", "open space by query", "/ws"),
    // Percent-encoding is decoded once and strictly, to printable UTF-8.
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
async fn query_parameter_is_parsed_strictly_and_removed() {
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(profile()));
    let mut table = Table::new();
    for (target, expected, rest) in ROWS {
        let outcome = matrix.send(|client| client.websocket(target)).await;
        table.row(target, expected, &outcome);
        let (received, original) = outcome.uris();
        table.row((target, "URI"), rest, received);
        table.row((target, "OriginalUri"), rest, original);
    }
    table.finish();
}

#[tokio::test]
async fn query_is_not_read_by_default() {
    let matrix = Matrix::new(TOKENS, |auth| auth);
    let outcome = matrix
        .send(|client| client.websocket("/ws?token=s3cret"))
        .await;
    assert_eq!(outcome.to_string(), "401 missing-credential");
}

/// Tornado merges the fields of a form into the query.
#[tokio::test]
async fn form_body_is_not_read() {
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(profile()));
    let outcome = matrix
        .send(|client| {
            let form = "application/x-www-form-urlencoded";
            let post = client.post("/page").header("content-type", form);
            post.body("token=s3cret")
        })
        .await;
    assert_eq!(outcome.to_string(), "401 missing-credential");
}

/// In a nested router the URI of the request is shorter than `OriginalUri`.
#[tokio::test]
async fn token_is_removed_from_both_uris_of_a_nested_router() {
    let report = |OriginalUri(original): OriginalUri, request: Request| async move {
        format!("{} of {original}", request.uri())
    };
    let verifier = Accepting::token("s3cret", Identity::new("alice"));
    let auth = AuthLayer::new(verifier).profile(profile());
    let inner = Router::new()
        .route("/page", any(report))
        .layer(auth.clone());
    let apps = [
        Router::new().nest("/a", Router::new().nest("/b", inner)),
        Router::new()
            .nest("/a", Router::new().route("/b/page", any(report)))
            .layer(auth),
    ];
    for version in HttpVersion::ALL {
        let [deep, flat] = apps.clone().map(|app| version.client(app));
        let target = "/a/b/page?x&token=s3cret&y";
        let responses = [deep.get(target).send().await, flat.get(target).send().await];
        let texts = responses.map(|response| response.text().replace("http://localhost", ""));
        assert_eq!(
            texts,
            ["/page?x&y of /a/b/page?x&y", "/b/page?x&y of /a/b/page?x&y"]
        );
    }
}

/// A page with a token in its URI sends that URI with every request, whatever carrier it uses.
#[tokio::test]
async fn token_is_removed_from_the_referer() {
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(profile()));
    for (target, has_header) in [("/ws?token=s3cret", false), ("/ws", true)] {
        let outcome = matrix
            .send(|client| {
                let page = "http://localhost/page?a&token=s3cret";
                let request = client.websocket(target).header("referer", page);
                match has_header {
                    true => request.bearer("s3cret"),
                    false => request,
                }
            })
            .await;
        assert_eq!(
            outcome.received_lines("referer"),
            ["http://localhost/page?a"]
        );
    }
}

fn profile() -> Profile {
    Profile::default().carrier(QueryCarrier::named("token"))
}
