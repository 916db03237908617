use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, Method, Request};

use crate::upgrade::is_upgrade;

/// Whether a browser opens a page with `request`, in a tab and for its user to see.
///
/// What a page loads by itself (a script, an image, a frame) or ahead of time is none, and neither
/// is a call of an API. A header that says nothing about it counts as a yes: browsers leave
/// `Sec-Fetch-*` out over plain HTTP. `Accept` is what then tells a page from a call, and every
/// browser names `text/html` there.
pub(super) fn opens_page<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::GET
        && !is_upgrade(request)
        && says_only(headers, &SEC_FETCH_MODE, b"navigate")
        && says_only(headers, &SEC_FETCH_DEST, b"document")
        && !is_prefetch(headers)
        && wants_html(headers)
}

/// Whose page made the browser send a request (W3C Fetch Metadata).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Site {
    /// Nobody's: the user has typed the address, or opened it from outside of the browser.
    AddressBar,

    /// One of another origin, be it of the same site: another port or subdomain is not us.
    Foreign,

    /// One of ours.
    SameOrigin,

    /// The browser does not say.
    Unsaid,
}

impl Site {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(&SEC_FETCH_SITE) {
            Self::Unsaid
        } else if says_only(headers, &SEC_FETCH_SITE, b"none") {
            Self::AddressBar
        } else if says_only(headers, &SEC_FETCH_SITE, b"same-origin") {
            Self::SameOrigin
        } else {
            Self::Foreign
        }
    }
}

/// Whether all lines of a header, be it none, are this value.
fn says_only(headers: &HeaderMap, name: &HeaderName, expected: &[u8]) -> bool {
    let mut lines = headers.get_all(name).iter();
    lines.all(|line| line.as_bytes() == expected)
}

fn is_prefetch(headers: &HeaderMap) -> bool {
    let mut purposes = [SEC_PURPOSE, PURPOSE, X_MOZ]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .flat_map(|line| line.as_bytes().split(|byte| b";,".contains(byte)));
    purposes.any(|purpose| purpose.trim_ascii().eq_ignore_ascii_case(b"prefetch"))
}

fn wants_html(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    ranges.any(|range| {
        let end = range.iter().position(|byte| *byte == b';');
        let media_type = &range[..end.unwrap_or(range.len())];
        media_type.trim_ascii().eq_ignore_ascii_case(b"text/html")
    })
}

const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::tests::headers;

    #[test]
    fn tells_a_page_from_everything_else() {
        #[rustfmt::skip]
        let table = [
            ("GET",     "accept: text/html",                                              true),
            ("GET",     "accept: text/html,application/xhtml+xml,*/*;q=0.8",              true),
            ("GET",     "accept: */* | accept: a/b, Text/HTML;q=0.1",                     true),
            ("GET",     "accept: text/html | sec-fetch-mode: navigate",                   true),
            ("GET",     "accept: text/html | sec-fetch-mode: navigate | sec-fetch-dest: document", true),
            ("GET",     "accept: text/html | sec-fetch-user: ?1 | sec-fetch-site: cross-site", true),
            ("GET",     "",                                                               false),
            ("GET",     "accept: */*",                                                    false),
            ("GET",     "accept: application/json",                                       false),
            ("GET",     "accept: text/htmlx",                                             false),
            ("GET",     "accept: xtext/html",                                             false),
            ("HEAD",    "accept: text/html",                                              false),
            ("POST",    "accept: text/html",                                              false),
            ("OPTIONS", "accept: text/html",                                              false),
            ("CONNECT", "accept: text/html",                                              false),
            ("get",     "accept: text/html",                                              false),
            ("GET",     "accept: text/html | upgrade: websocket",                         false),
            ("GET",     "accept: text/html | upgrade: h2c",                               false),
            ("GET",     "accept: text/html | sec-fetch-mode: cors",                       false),
            ("GET",     "accept: text/html | sec-fetch-mode: no-cors",                    false),
            ("GET",     "accept: text/html | sec-fetch-mode: same-origin",                false),
            ("GET",     "accept: text/html | sec-fetch-mode: websocket",                  false),
            ("GET",     "accept: text/html | sec-fetch-mode: Navigate",                   false),
            ("GET",     "accept: text/html | sec-fetch-mode: navigate | sec-fetch-mode: cors", false),
            ("GET",     "accept: text/html | sec-fetch-dest: iframe",                     false),
            ("GET",     "accept: text/html | sec-fetch-dest: frame",                      false),
            ("GET",     "accept: text/html | sec-fetch-dest: embed",                      false),
            ("GET",     "accept: text/html | sec-fetch-dest: object",                     false),
            ("GET",     "accept: text/html | sec-fetch-dest: image",                      false),
            ("GET",     "accept: text/html | sec-fetch-dest: empty",                      false),
            ("GET",     "accept: text/html | sec-purpose: prefetch",                      false),
            ("GET",     "accept: text/html | sec-purpose: prefetch;prerender",            false),
            ("GET",     "accept: text/html | sec-purpose: prefetch; anonymous-client-ip", false),
            ("GET",     "accept: text/html | purpose: Prefetch",                          false),
            ("GET",     "accept: text/html | x-moz: prefetch",                            false),
        ];
        for (method, lines, expected) in table {
            let request = Request::builder().method(method).uri("/?token=x");
            let mut request = request.body(()).unwrap();
            *request.headers_mut() = headers(lines);
            assert_eq!(opens_page(&request), expected, "{method} {lines}");
        }
    }

    #[test]
    fn only_what_the_browser_says_about_us_is_ours() {
        let table: &[(&[&str], Site)] = &[
            (&[], Site::Unsaid),
            (&["none"], Site::AddressBar),
            (&["same-origin"], Site::SameOrigin),
            (&["same-site"], Site::Foreign),
            (&["cross-site"], Site::Foreign),
            (&[""], Site::Foreign),
            (&["None"], Site::Foreign),
            (&["none, cross-site"], Site::Foreign),
            (&["none", "cross-site"], Site::Foreign),
            (&["same-origin", "none"], Site::Foreign),
        ];
        for (lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append(SEC_FETCH_SITE, line.parse().unwrap());
            }
            assert_eq!(Site::of(&headers), *expected, "{lines:?}");
        }
    }
}
