//! Cookies that contain the static token.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum_extra::extract::cookie::{Cookie, Key, PrivateCookieJar};
use http::header::SET_COOKIE;
use http::{HeaderMap, Request, Response};
use portcullis::seal::{CookieKey, CookieKeys, SealedCookie};
use portcullis::{AuthLayer, PersistTokenLayer, StaticTokens};
use tower_layer::Layer;
use tower_service::Service;

use super::tokens::TOKEN;

/// The name of axum-extra's cookie.
pub(crate) const PRIVATE: &str = "__Host-session";

/// Returns a `Cookie` header with this cookie and four others.
pub(crate) fn among_others(cookie: &str) -> String {
    format!("theme=dark; lang=en; {cookie}; consent=a.b.c; _ga=GA1.1.1234567890.1700000000")
}

/// Returns a sealed cookie, and the `name=value` that it sets for a link with the token.
pub(crate) fn sealed() -> (SealedCookie, String) {
    let key = CookieKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    let keys = CookieKeys::new(&key.expect("32 bytes in base64url"));
    let cookie = SealedCookie::new("session", keys);

    let tokens = StaticTokens::new([("alice", TOKEN)]).expect("a token that is not empty");
    let auth = AuthLayer::new(tokens);
    let mut links = PersistTokenLayer::for_auth(&auth, cookie.clone()).layer(Router::new());
    let link = Request::get(format!("/?token={TOKEN}"))
        .header("host", "127.0.0.1:8888")
        .header("accept", "text/html")
        .body(Body::empty())
        .expect("the constants are a valid request");
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = pin!(links.call(link)).poll(&mut context) else {
        panic!("static tokens are verified without waiting");
    };
    (cookie, set_cookie(&response))
}

/// Returns a key of axum-extra, and the `name=value` with the encrypted token.
pub(crate) fn private() -> (Key, String) {
    let key = Key::from(&[7; 64]);
    let jar = PrivateCookieJar::from_headers(&HeaderMap::new(), key.clone());
    let response = jar.add(Cookie::new(PRIVATE, TOKEN)).into_response();
    (key, set_cookie(&response))
}

fn set_cookie<B>(response: &Response<B>) -> String {
    let line = response.headers().get(SET_COOKIE);
    let line = line.and_then(|line| line.to_str().ok()).expect("a cookie");
    line.split(';').next().unwrap_or(line).to_owned()
}
