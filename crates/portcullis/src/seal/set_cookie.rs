use std::time::Duration;

use cookie::{Cookie, SameSite};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderValue, SET_COOKIE};

use super::SealedCookie;

/// The `Set-Cookie` headers of a response.
#[derive(Debug)]
pub(crate) struct SetCookies(Vec<HeaderValue>);

impl SetCookies {
    pub(super) fn new(lines: impl IntoIterator<Item = HeaderValue>) -> Self {
        Self(lines.into_iter().collect())
    }

    /// Adds the headers to a response, and prevents caches from storing the response.
    pub(crate) fn append_to(self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for line in self.0 {
            headers.append(SET_COOKIE, line);
        }
    }

    pub(super) fn into_lines(self) -> impl Iterator<Item = HeaderValue> {
        self.0.into_iter()
    }
}

/// Returns the value of one `Set-Cookie` header. A lifetime of zero removes the cookie.
pub(super) fn line(
    cookie: &SealedCookie,
    name: &str,
    value: &str,
    lifetime: Duration,
) -> HeaderValue {
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let text = Cookie::build((name, value))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(cookie.is_secure())
        .path(cookie.attribute_path())
        .max_age(cookie::time::Duration::seconds(seconds))
        .to_string();
    let mut line = HeaderValue::try_from(text)
        .expect("name and path were checked, and the value is base64url");
    line.set_sensitive(true);
    line
}
