//! The layers that admission is compared with, as a careful user would write them.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum_extra::TypedHeader;
use axum_extra::extract::cookie::{Key, PrivateCookieJar};
use axum_extra::headers::Authorization;
use axum_extra::headers::authorization::Bearer;
use http::StatusCode;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

use super::cookies::PRIVATE;
use super::tokens::{AUDIENCE, ISSUER, SECRET, TOKEN};

/// Returns the route of all rows.
pub(crate) fn route() -> Router {
    Router::new().route("/ws", any(handler))
}

async fn handler() -> StatusCode {
    StatusCode::SWITCHING_PROTOCOLS
}

/// Returns the route behind a layer that does nothing. Like every useful layer, it has a setting.
pub(crate) fn nothing() -> Router {
    route().route_layer(NothingLayer(Arc::new("a setting")))
}

/// Returns the route behind a zero-sized layer that does nothing, which axum clones without an
/// allocation.
pub(crate) fn nothing_sizeless() -> Router {
    route().route_layer(NothingLayer(()))
}

#[derive(Clone)]
struct NothingLayer<T>(T);

impl<S, T: Clone> Layer<S> for NothingLayer<T> {
    type Service = Nothing<S, T>;

    fn layer(&self, inner: S) -> Nothing<S, T> {
        Nothing(inner, self.0.clone())
    }
}

#[derive(Clone)]
struct Nothing<S, T>(S, T);

impl<S: Service<Request>, T> Service<Request> for Nothing<S, T> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> S::Future {
        self.0.call(request)
    }
}

/// Returns the route behind `from_fn` of axum with a comparison in constant time.
pub(crate) fn from_fn_bearer() -> Router {
    route().route_layer(from_fn(check_bearer))
}

pub(crate) async fn check_bearer(request: Request, next: Next) -> Response {
    match bearer(&request).is_some_and(|token| is_equal(token, TOKEN)) {
        true => next.run(request).await,
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// Returns the route behind the bearer token check of tower-http.
#[expect(deprecated, reason = "users find it in the documentation")]
pub(crate) fn tower_http_bearer() -> Router {
    use tower_http::auth::require_authorization::Bearer;
    use tower_http::validate_request::ValidateRequestHeaderLayer;

    route().route_layer(ValidateRequestHeaderLayer::<Bearer<Body>>::bearer(TOKEN))
}

/// Returns a route with a comparison in the handler, which reads the typed header of axum-extra.
pub(crate) fn typed_header() -> Router {
    async fn handler(TypedHeader(header): TypedHeader<Authorization<Bearer>>) -> StatusCode {
        match is_equal(header.token(), TOKEN) {
            true => StatusCode::SWITCHING_PROTOCOLS,
            false => StatusCode::UNAUTHORIZED,
        }
    }
    Router::new()
        .route("/ws", any(handler))
        .route_layer(NothingLayer(Arc::new("a setting")))
}

/// Returns the route behind `from_fn` with `jsonwebtoken::decode` and a prepared key.
pub(crate) fn from_fn_jsonwebtoken() -> Router {
    // If other crates of the build enable the other backend, there is no default.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let key = DecodingKey::from_secret(SECRET).expect("a secret that is not empty");
    let key = Arc::new(key);
    let validation = Arc::new(validation(Algorithm::HS256));
    route().route_layer(from_fn(move |request: Request, next: Next| {
        let (key, validation) = (Arc::clone(&key), Arc::clone(&validation));
        async move {
            let claims = bearer(&request)
                .and_then(|token| jsonwebtoken::decode::<Claims>(token, &key, &validation).ok());
            match claims {
                Some(claims) => {
                    let mut request = request;
                    request.extensions_mut().insert(Arc::new(claims.claims));
                    next.run(request).await
                }
                None => StatusCode::UNAUTHORIZED.into_response(),
            }
        }
    }))
}

/// Returns the route behind `from_fn` that opens the private cookie of axum-extra, with a comparison
/// in constant time.
pub(crate) fn private_cookie(key: Key) -> Router {
    route().route_layer(from_fn(move |request: Request, next: Next| {
        let key = key.clone();
        async move {
            let jar = PrivateCookieJar::from_headers(request.headers(), key);
            match jar
                .get(PRIVATE)
                .is_some_and(|cookie| is_equal(cookie.value(), TOKEN))
            {
                true => next.run(request).await,
                false => StatusCode::UNAUTHORIZED.into_response(),
            }
        }
    }))
}

pub(crate) fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_nbf = true;
    validation
}

/// The claims that a service reads from a token.
#[derive(Debug, serde::Deserialize)]
#[expect(dead_code, reason = "only a handler would read the fields")]
pub(crate) struct Claims {
    sub: String,
    scope: String,
    exp: u64,
}

fn bearer(request: &Request) -> Option<&str> {
    let line = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    line.strip_prefix("Bearer ")
}

fn is_equal(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}
