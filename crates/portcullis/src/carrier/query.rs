use std::borrow::Cow;

use http::header::{HeaderMap, HeaderValue, REFERER};
use http::uri::PathAndQuery;
use http::{Request, Uri};
use portcullis_core::{Carrier, Credential, Scheme};

use super::split::split;
use super::{MAX_PAIRS, Taken, Unreadable, decode};

/// Reads a parameter of the query: `?token=…`.
///
/// The parameter has to occur exactly once and have a value, with valid percent-encoding; a `+` is
/// a plus. It is removed from the request's URI, from axum's `OriginalUri` and from the `Referer`;
/// the rest of the query stays byte for byte.
///
/// # Security
///
/// A URL is a bad place for a secret: it is written to the logs of proxies, to histories, to
/// `Referer` headers and to screenshots (RFC 9700 §4.3.2). So a [`Profile`](crate::Profile) reads
/// the query only if its ecosystem requires it, or if you add this carrier. Prefer
/// [tickets](crate::Tickets), which are valid for one handshake.
///
/// ```
/// use portcullis::Profile;
/// use portcullis::carrier::QueryCarrier;
///
/// let profile = Profile::default().carrier(QueryCarrier::named("token"));
/// ```
#[derive(Clone, Debug)]
pub struct QueryCarrier {
    name: Cow<'static, str>,
    forgiving: bool,
}

impl QueryCarrier {
    /// Reads the parameter with this name. Names are compared byte for byte after decoding.
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            forgiving: false,
        }
    }

    /// Reads the parameter like Tornado, for servers that must equal Jupyter Server: the last of
    /// several counts, `+` is a space, an invalid `%` is a percent sign, and an empty value is
    /// ignored.
    #[must_use]
    pub(crate) fn forgiving(self) -> Self {
        Self {
            forgiving: true,
            ..self
        }
    }

    /// Returns the name of the parameter.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn take<B>(&self, request: &mut Request<B>) -> Taken {
        if request.uri().query().is_none() {
            return Ok(None);
        }
        let Some(found) = Found::in_uri(request.uri(), &self.name) else {
            return Ok(None);
        };
        let within_limit = match found.pairs > MAX_PAIRS {
            true => Err(Unreadable::TooLarge),
            false => Ok(()),
        };
        let (Some(value), Some(stripped)) = (found.value, found.stripped) else {
            return within_limit.map(|()| None);
        };
        let secret = within_limit.and_then(|()| match found.occurrences {
            _ if self.forgiving => read_forgiving(value),
            1 => decode::percent(value).map(Some),
            _ => Err(Unreadable::Malformed(
                "the query has the parameter more than once",
            )),
        });
        let stripped = with_path_and_query(request.uri(), stripped);
        let before = std::mem::replace(request.uri_mut(), stripped);
        #[cfg(feature = "axum")]
        strip_original_uri(request, &before, &self.name);
        #[cfg(not(feature = "axum"))]
        drop(before);
        Ok(secret?.map(|secret| Credential::new(Carrier::Query, Scheme::Bearer, secret)))
    }

    /// Removes the parameter from the `Referer`, the URL of the page that sent the request.
    ///
    /// If the page was opened with a token in its URL, the `Referer` contains that token.
    pub(crate) fn strip_referer(&self, headers: &mut HeaderMap) {
        let mut lines = headers.get_all(REFERER).iter();
        let Some(line) = lines.next() else { return };
        let stripped = match (Uri::try_from(line.as_bytes()), lines.next()) {
            (Ok(page), None) => match remove_parameter(&page, &self.name) {
                None => return,
                Some(page) => HeaderValue::try_from(page.to_string()).ok(),
            },
            // A Referer that is not a URI, or a second one, is of no use.
            _ => None,
        };
        match stripped {
            Some(page) => headers.insert(REFERER, page),
            None => headers.remove(REFERER),
        };
    }
}

/// Removes the parameter from the copy of the URI that axum's router keeps.
///
/// A layer inside of a router runs after the router has made the copy. Unless the router is nested
/// in another one, the copy equals the URI `before` the parameter was removed.
#[cfg(feature = "axum")]
fn strip_original_uri<B>(request: &mut Request<B>, before: &Uri, parameter: &str) {
    let after = request.uri().clone();
    let Some(axum::extract::OriginalUri(original)) = request.extensions_mut().get_mut() else {
        return;
    };
    let is_copy = original.path_and_query() == before.path_and_query();
    if is_copy && original.authority() == before.authority() {
        *original = after;
    } else if let Some(stripped) = remove_parameter(original, parameter) {
        *original = stripped;
    }
}

/// Returns the URI without the parameter, or `None` if the URI does not have it.
///
/// Names are compared after decoding, so that `%74oken` is removed like `token`.
pub(crate) fn remove_parameter(uri: &Uri, name: &str) -> Option<Uri> {
    let stripped = Found::in_uri(uri, name)?.stripped?;
    Some(with_path_and_query(uri, stripped))
}

/// A parameter in the query of a URI.
struct Found<'a> {
    /// The last value, still encoded.
    value: Option<&'a [u8]>,
    occurrences: usize,
    /// The number of parameters in the query.
    pairs: usize,
    /// The path and the query without the parameter, if it occurs.
    stripped: Option<Vec<u8>>,
}

impl<'a> Found<'a> {
    /// Searches the query, if there is one.
    fn in_uri(uri: &'a Uri, name: &str) -> Option<Self> {
        let path_and_query = uri.path_and_query()?;
        let query = path_and_query.query()?.as_bytes();
        let path = path_and_query.path().as_bytes();
        let mut found = Self {
            value: None,
            occurrences: 0,
            pairs: 0,
            stripped: None,
        };
        // Where the pair starts in the query.
        let mut start = 0;
        for pair in split(query, b'&') {
            found.pairs += 1;
            if let Some(value) = value_of(pair, name) {
                found.value = Some(value);
                found.occurrences += 1;
                found.stripped.get_or_insert_with(|| {
                    // `Bytes` takes a vector without spare capacity as it is.
                    let length = path.len() + query.len() - pair.len();
                    let mut stripped = Vec::with_capacity(length);
                    stripped.extend_from_slice(path);
                    if start > 0 {
                        stripped.push(b'?');
                        stripped.extend_from_slice(&query[..start - 1]);
                    }
                    stripped
                });
            } else if let Some(stripped) = &mut found.stripped {
                let separator = if stripped.len() == path.len() {
                    b'?'
                } else {
                    b'&'
                };
                stripped.push(separator);
                stripped.extend_from_slice(pair);
            }
            start += pair.len() + 1;
        }
        Some(found)
    }
}

fn with_path_and_query(uri: &Uri, path_and_query: Vec<u8>) -> Uri {
    // A part of a valid path and query is always valid. If it were not, losing the path would be
    // better than passing on the secret.
    let path_and_query = PathAndQuery::from_maybe_shared(bytes::Bytes::from(path_and_query))
        .unwrap_or_else(|_| PathAndQuery::from_static("/"));
    if uri.authority().is_none() {
        return Uri::from(path_and_query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("/"))
}

/// Returns the value of `pair`, still encoded, if its name is `name`.
fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    if let Some(rest) = pair.strip_prefix(name.as_bytes()) {
        match rest {
            [] => return Some(&[]),
            [b'=', value @ ..] => return Some(value),
            _ => {}
        }
    }
    let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    let (key, value) = pair.split_at(end);
    let is_named = memchr::memchr(b'%', key).is_some()
        && percent_encoding::percent_decode(key).eq(name.bytes());
    is_named.then(|| value.strip_prefix(b"=").unwrap_or(value))
}

fn read_forgiving(value: &[u8]) -> Result<Option<String>, Unreadable> {
    let spaced: Vec<u8> = value
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let decoded = percent_encoding::percent_decode(&spaced)
        .decode_utf8()
        .map_err(|_| Unreadable::Malformed("the credential is not UTF-8"))?;
    match decoded.trim() {
        "" => Ok(None),
        trimmed => decode::copy(trimmed.as_bytes()).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_of_the_uri_stays_byte_for_byte() {
        let table = [
            ("/ws?token=x", Some("/ws")),
            ("/ws?token", Some("/ws")),
            ("/ws?%74oken=x&a=%20+", Some("/ws?a=%20+")),
            ("/ws?a=1&token=x&b", Some("/ws?a=1&b")),
            ("/ws?token=x&token=y&&c=", Some("/ws?&c=")),
            ("http://h:1/p?token=x&q=1", Some("http://h:1/p?q=1")),
            ("http://h:1?token=x", Some("http://h:1/")),
            ("http://h:1?q=1&token=x&r", Some("http://h:1/?q=1&r")),
            ("/ws?Token=x&token[]=y&xtoken=z", None),
            ("/ws?a=token=x", None),
            ("/token=x", None),
        ];
        for (before, after) in table {
            let stripped = remove_parameter(&Uri::from_static(before), "token");
            assert_eq!(
                stripped.as_ref().map(ToString::to_string).as_deref(),
                after,
                "{before}"
            );
            if let Some(stripped) = stripped {
                assert_eq!(remove_parameter(&stripped, "token"), None, "{before}");
            }
        }
    }

    #[test]
    fn parameter_is_removed_from_the_referer() {
        let table: [(&[&str], Option<&str>); 7] = [
            (&["http://h:1/?token=s3cret"], Some("http://h:1/")),
            (
                &["http://h/p?a=1&%74oken=s3cret&b"],
                Some("http://h/p?a=1&b"),
            ),
            (&["http://h/p?a=1"], Some("http://h/p?a=1")),
            (&["http://h/"], Some("http://h/")),
            (&["not an address ?token=s3cret"], None),
            (&["http://h/", "http://h/?token=s3cret"], None),
            (&[], None),
        ];
        for (before, after) in table {
            let mut request = Request::new(());
            for line in before {
                request
                    .headers_mut()
                    .append(REFERER, HeaderValue::from_static(line));
            }
            QueryCarrier::named("token").strip_referer(request.headers_mut());
            let left: Vec<_> = request.headers().get_all(REFERER).iter().collect();
            assert!(left.iter().eq(after.iter()), "{before:?}: {left:?}");
        }
    }
}
