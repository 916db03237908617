use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, Method, Request};

use crate::upgrade::is_upgrade;

/// Returns whether a browser opens a page with this request, in a tab that its user sees.
///
/// A resource that a page loads (a script, an image, a frame), a prefetch and an API call do not
/// count. An absent `Sec-Fetch-*` header counts as a page, because browsers leave these headers out
/// over plain HTTP. `Accept` then distinguishes a page from an API call: every browser sends
/// `text/html` for a page.
pub(super) fn opens_page<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::GET
        && !is_upgrade(request)
        && has_only(headers, &SEC_FETCH_MODE, b"navigate")
        && has_only(headers, &SEC_FETCH_DEST, b"document")
        && !is_prefetch(headers)
        && accepts_html(headers)
}

/// The relation between a request and the page that sent it (`Sec-Fetch-Site`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FetchSite {
    /// The browser does not send the header.
    Absent,

    /// No page sent the request: the user typed the URL, or opened it in another program.
    None,

    /// A page of another origin. Another port or subdomain of the same site is another origin.
    OtherOrigin,

    /// A page of this server.
    SameOrigin,
}

impl FetchSite {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(&SEC_FETCH_SITE) {
            Self::Absent
        } else if has_only(headers, &SEC_FETCH_SITE, b"none") {
            Self::None
        } else if has_only(headers, &SEC_FETCH_SITE, b"same-origin") {
            Self::SameOrigin
        } else {
            Self::OtherOrigin
        }
    }
}

/// Returns whether all lines of a header have this value. An absent header counts.
fn has_only(headers: &HeaderMap, name: &HeaderName, expected: &[u8]) -> bool {
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

fn accepts_html(headers: &HeaderMap) -> bool {
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
    fn only_navigation_to_a_document_opens_a_page() {
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
    fn other_values_of_sec_fetch_site_are_another_origin() {
        let table: &[(&[&str], FetchSite)] = &[
            (&[], FetchSite::Absent),
            (&["none"], FetchSite::None),
            (&["same-origin"], FetchSite::SameOrigin),
            (&["same-site"], FetchSite::OtherOrigin),
            (&["cross-site"], FetchSite::OtherOrigin),
            (&[""], FetchSite::OtherOrigin),
            (&["None"], FetchSite::OtherOrigin),
            (&["none, cross-site"], FetchSite::OtherOrigin),
            (&["none", "cross-site"], FetchSite::OtherOrigin),
            (&["same-origin", "none"], FetchSite::OtherOrigin),
        ];
        for (lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append(SEC_FETCH_SITE, line.parse().unwrap());
            }
            assert_eq!(FetchSite::of(&headers), *expected, "{lines:?}");
        }
    }
}
