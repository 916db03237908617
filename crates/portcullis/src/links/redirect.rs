use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, LOCATION};
use http::{Response, StatusCode, Uri};

use crate::seal::SetCookies;

/// Redirects the browser to `target`, the URL without the token, and sets the cookie.
pub(super) fn see_other(target: &Uri, cookies: SetCookies) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    // A valid path and query are a valid header value. If they ever are not, redirect to `/`.
    let location = HeaderValue::try_from(location(target));
    headers.insert(LOCATION, location.unwrap_or(HeaderValue::from_static("/")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    cookies.append_to(headers);
    response
}

/// Returns path and query as a relative reference that never leads to another host.
///
/// A path may start with several slashes, and browsers read a backslash as a slash: `//evil` and
/// `/\evil` would name a host. The host of `target` is left out.
pub(super) fn location(target: &Uri) -> String {
    let path = target.path().trim_start_matches(['/', '\\']);
    match target.query() {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    }
}

pub(super) const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");
