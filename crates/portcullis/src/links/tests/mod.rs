//! Tests of the layer around an `AuthLayer`: tables of requests and their outcomes.

mod addresses;
mod api_responses;
mod confirmations;
mod cookies;
mod keys;
mod log;
mod opening;
mod placement;
mod secrets;
mod service;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Method, Request, Response, Uri};
use portcullis_core::{Clock, Credential, Identity, Verify, VerifyError};
use tower::util::ServiceFn;
use tower::{Layer, ServiceExt};

use self::log::Log;
use super::PersistToken;
use crate::admission::Auth;
use crate::admission::AuthLayer;
use crate::links::layer::PersistTokenLayer;
use crate::profile::Profile;
use crate::seal::{CookieKey, CookieKeys, SealedCookie};

/// The headers of a browser that opens a page.
const PAGE: &str = "host: localhost:8888 | accept: text/html,*/*;q=0.8 | \
    sec-fetch-mode: navigate | sec-fetch-dest: document";

/// The headers of a browser whose user typed the address.
const TYPED: &str = "host: localhost:8888 | accept: text/html,*/*;q=0.8 | \
    sec-fetch-mode: navigate | sec-fetch-dest: document | sec-fetch-site: none";

/// The headers of a WebSocket that a script opens.
const UPGRADE: &str = "host: localhost:8888 | connection: Upgrade | upgrade: websocket | \
    sec-websocket-version: 13 | sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";

type Handler = ServiceFn<fn(Request<String>) -> Ready<Result<Response<Bytes>, Infallible>>>;

/// A server: the layer, admission, and a handler that responds with the subject.
#[derive(Clone)]
struct Server {
    app: PersistToken<Auth<Handler, TestVerifier>, TestVerifier>,
    cookie: SealedCookie,
    clock: TestClock,
    verifier: TestVerifier,
}

impl Server {
    fn new() -> Self {
        Self::with(false, |layer| layer)
    }

    /// Creates a server with a verifier that may be slow, and a layer with other settings.
    fn with(
        slow: bool,
        settings: impl FnOnce(PersistTokenLayer<TestVerifier>) -> PersistTokenLayer<TestVerifier>,
    ) -> Self {
        let clock = TestClock::default();
        let cookie = SealedCookie::new("session", CookieKeys::new(&key(1))).clock(clock.clone());
        Self::around(cookie, clock, slow, settings)
    }

    fn around(
        cookie: SealedCookie,
        clock: TestClock,
        slow: bool,
        settings: impl FnOnce(PersistTokenLayer<TestVerifier>) -> PersistTokenLayer<TestVerifier>,
    ) -> Self {
        let verifier = TestVerifier {
            clock: clock.clone(),
            slow,
            revoked: Arc::default(),
        };
        let auth = AuthLayer::new(verifier.clone())
            .profile(Profile::jupyter().carrier(cookie.clone()))
            .hosts(["localhost"])
            .unwrap()
            .clock(clock.clone());
        let handler: Handler = tower::service_fn(handle);
        let layer = settings(PersistTokenLayer::for_auth(&auth, cookie.clone()));
        Self {
            app: layer.layer(auth.layer(handler)),
            cookie,
            clock,
            verifier,
        }
    }

    async fn send(&self, request: Request<String>) -> Response<Bytes> {
        match self.app.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Sends a `GET`.
    async fn open(&self, target: &str, lines: &str, jar: &Jar) -> Response<Bytes> {
        self.send(request("GET", target, lines, jar)).await
    }

    /// Returns the cookies of a browser that is logged in with this token.
    fn jar(&self, token: &str) -> Jar {
        let mut jar = Jar::default();
        let nothing = self.cookie.read(|_| Ok::<_, Infallible>(None));
        let cookies = self.cookie.set(token, None, &nothing).unwrap();
        let mut headers = HeaderMap::new();
        cookies.append_to(&mut headers);
        jar.take(&headers);
        jar
    }
}

/// Responds with the subject, and the address as the handler sees it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a service is called with a request by value"
)]
fn handle(request: Request<String>) -> Ready<Result<Response<Bytes>, Infallible>> {
    let subject = match request.extensions().get::<Identity>() {
        Some(identity) => identity.subject(),
        None => "no one",
    };
    let mut response = Response::new(Bytes::from(format!("{subject} at {}", request.uri())));
    if let Some(status) = request.headers().get("x-answer") {
        *response.status_mut() = status.to_str().unwrap().parse().unwrap();
    }
    if let Some(line) = request.headers().get("x-set-cookie") {
        response.headers_mut().append(SET_COOKIE, line.clone());
    }
    ready(Ok(response))
}

fn key(number: u8) -> CookieKey {
    let text: String = std::iter::repeat_n(char::from(b'A' + number), 42)
        .chain(['A'])
        .collect();
    CookieKey::parse(&text).unwrap()
}

fn request(method: &str, target: &str, lines: &str, jar: &Jar) -> Request<String> {
    let mut request = Request::new(String::new());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = target.parse::<Uri>().unwrap();
    *request.headers_mut() = headers(lines);
    if let Some(line) = jar.line() {
        request.headers_mut().insert(COOKIE, line);
    }
    request
}

/// Parses `name: value | name: value`.
pub(super) fn headers(lines: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(" | ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(
            HeaderName::try_from(name).unwrap(),
            HeaderValue::try_from(value).unwrap(),
        );
    }
    headers
}

/// Summarizes a response.
///
/// `pass` is followed by the status of the inner service. `set` and `clear` say what the response
/// does to the cookie.
fn outcome(response: &Response<Bytes>) -> String {
    let status = response.status().as_u16();
    let is_page = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "text/html; charset=utf-8");
    let mut outcome = match (status, is_page) {
        (303, _) => "303".into(),
        (200, true) => "ask".into(),
        (409, true) => "switch".into(),
        (_, true) => format!("page {status}"),
        (_, false) => format!("pass {status}"),
    };
    let lines: Vec<_> = set_cookies(response.headers());
    if lines.iter().any(|cookie| !cookie.value().is_empty()) {
        outcome.push_str(" set");
    } else if !lines.is_empty() {
        outcome.push_str(" clear");
    }
    outcome
}

fn set_cookies(headers: &HeaderMap) -> Vec<cookie::Cookie<'_>> {
    let lines = headers.get_all(SET_COOKIE).iter();
    lines
        .map(|line| cookie::Cookie::parse(line.to_str().unwrap()).unwrap())
        .collect()
}

/// The cookies of a browser.
#[derive(Clone, Debug, Default)]
struct Jar(Vec<(String, String)>);

impl Jar {
    /// Applies the `Set-Cookie` headers of a response.
    fn take(&mut self, headers: &HeaderMap) {
        for cookie in set_cookies(headers) {
            self.0.retain(|(name, _)| name != cookie.name());
            if cookie.max_age() != Some(cookie::time::Duration::ZERO) {
                self.0.push((cookie.name().into(), cookie.value().into()));
            }
        }
    }

    fn line(&self) -> Option<HeaderValue> {
        let pairs: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let line = pairs.join("; ");
        (!line.is_empty()).then(|| line.parse().unwrap())
    }
}

#[derive(Clone, Debug)]
struct TestClock(Arc<Mutex<SystemTime>>);

impl Default for TestClock {
    fn default() -> Self {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Self(Arc::new(Mutex::new(noon)))
    }
}

impl TestClock {
    fn advance(&self, seconds: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(seconds);
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// Accepts tokens of the form `subject-anything`.
#[derive(Clone, Debug)]
struct TestVerifier {
    clock: TestClock,
    slow: bool,
    revoked: Arc<Mutex<Vec<String>>>,
}

impl TestVerifier {
    fn revoke(&self, token: &str) {
        self.revoked.lock().unwrap().push(token.into());
    }

    fn answer(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let token = credential.expose_secret();
        if self
            .revoked
            .lock()
            .unwrap()
            .iter()
            .any(|revoked| revoked == token)
        {
            return Err(VerifyError::Invalid);
        }
        let (subject, kind) = token.split_once('-').unwrap_or((token, ""));
        let identity = Identity::builder(subject);
        match (subject, kind) {
            ("alice" | "bob", "other issuer") => Ok(identity.issuer("elsewhere").build()),
            ("alice" | "bob", "ends in 90 s") => {
                let start = TestClock::default().now();
                Ok(identity.expires_at(start + Duration::from_secs(90)).build())
            }
            ("alice" | "bob", "has ended") => {
                let earlier = self.clock.now() - Duration::from_secs(3600);
                Ok(identity.expires_at(earlier).build())
            }
            ("alice" | "bob", "ends at once") => {
                let soon = self.clock.now() + Duration::from_millis(900);
                Ok(identity.expires_at(soon).build())
            }
            ("alice" | "bob", _) => Ok(identity.build()),
            ("forbidden", _) => Err(VerifyError::Forbidden),
            ("down", _) => Err(VerifyError::unavailable()),
            ("boom", _) => panic!("the verifier panics"),
            _ => Err(VerifyError::Invalid),
        }
    }
}

impl Verify for TestVerifier {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        if credential.expose_secret() == "hang" {
            return std::future::pending().await;
        }
        tokio::task::yield_now().await;
        self.answer(credential)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        (!self.slow).then(|| self.answer(credential))
    }
}
