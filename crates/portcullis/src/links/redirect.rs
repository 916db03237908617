use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, LOCATION};
use http::{Response, StatusCode, Uri};

use crate::seal::SetCookies;

/// Sends the browser to `rest`, the address without the token, with the cookie in hand.
pub(super) fn see_other(rest: &Uri, cookies: SetCookies) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    // A valid path is a valid header. Were it ever not, the start page is a place to land.
    let location = HeaderValue::try_from(location(rest));
    headers.insert(LOCATION, location.unwrap_or(HeaderValue::from_static("/")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    cookies.append_to(headers);
    response
}

/// Path and query, as a reference that no client takes for the address of another host.
///
/// A path may start with more than one slash, and browsers take a backslash for one: `//evil` and
/// `/\evil` name a host where a path was meant. Whatever host the request's target named, it is
/// left out.
pub(super) fn location(rest: &Uri) -> String {
    let path = rest.path().trim_start_matches(['/', '\\']);
    match rest.query() {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    }
}

pub(super) const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");
