use std::borrow::Cow;

use http::header::{HeaderMap, HeaderValue, REFERER};
use http::uri::PathAndQuery;
use http::{Request, Uri};
use portcullis_core::{Carrier, Credential, Scheme};

use super::split::split;
use super::{MAX_PAIRS, Taken, Unreadable, decode};

/// Reads a parameter of the query: `?token=…`.
///
/// The parameter has to occur exactly once, with a value. Its percent-encoding has to be right,
/// and a `+` is a plus. It is taken out of the request's URI, of axum's `OriginalUri` and of the
/// `Referer`; the rest of the query stays byte for byte.
///
/// # Security
///
/// An address is not a good place for a secret: it ends up in the logs of every proxy on its way,
/// in histories, in `Referer` headers and in screenshots (RFC 9700 §4.3.2). No reader of the query
/// is in a [`Profile`](crate::Profile) unless the ecosystem asks for it or you put it there.
/// Tickets, which are good for one handshake, take most of the harm out of it.
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
    /// The parameter of this name, which is matched byte for byte after decoding.
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            forgiving: false,
        }
    }

    /// Tornado's reading, for those who must equal today's Jupyter Server: the last of several
    /// wins, `+` is a space, a stray `%` stands for itself, an empty value is none.
    #[must_use]
    pub(crate) fn forgiving(self) -> Self {
        Self {
            forgiving: true,
            ..self
        }
    }

    /// The parameter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn take<B>(&self, request: &mut Request<B>) -> Taken {
        let Some(query) = request.uri().query() else {
            return Ok(None);
        };
        let mut pairs = 0;
        let mut values = split(query.as_bytes(), b'&')
            .inspect(|_| pairs += 1)
            .filter_map(|pair| value_of(pair, &self.name));
        let first = values.next();
        let (last, others) =
            values.fold((first, 0), |(_, others), value| (Some(value), others + 1));
        let Some(value) = last else {
            return bounded(pairs).map(|()| None);
        };
        let taken = bounded(pairs).and_then(|()| match (self.forgiving, others) {
            (true, _) => read_forgiving(value),
            (false, 0) => decode::percent(value).map(Some),
            (false, _) => Err(Unreadable::Malformed(
                "the query has the parameter more than once",
            )),
        });
        self.strip(request);
        taken.map(|secret| {
            secret.map(|secret| Credential::new(Carrier::Query, Scheme::Bearer, secret))
        })
    }

    /// Takes the parameter out of the address of the page that a request comes from.
    ///
    /// What a page loads names the page, and so the token that the page was opened with. Servers
    /// that kept their own address clean have logged it from there.
    pub(crate) fn strip_referer(&self, headers: &mut HeaderMap) {
        let mut lines = headers.get_all(REFERER).iter();
        let Some(line) = lines.next() else { return };
        let stripped = match (Uri::try_from(line.as_bytes()), lines.next()) {
            (Ok(page), None) => match remove_parameter(&page, &self.name) {
                None => return,
                Some(page) => HeaderValue::try_from(page.to_string()).ok(),
            },
            // Nobody needs a Referer that is no address, or two of them.
            _ => None,
        };
        match stripped {
            Some(page) => headers.insert(REFERER, page),
            None => headers.remove(REFERER),
        };
    }

    /// Takes the parameter out of the request's address and of the copy that axum keeps, which is
    /// the same one unless a router is nested.
    fn strip<B>(&self, request: &mut Request<B>) {
        let Some(stripped) = remove_parameter(request.uri(), &self.name) else {
            return;
        };
        let before = std::mem::replace(request.uri_mut(), stripped.clone());
        #[cfg(feature = "axum")]
        strip_original_uri(request.extensions_mut(), &before, stripped, &self.name);
        #[cfg(not(feature = "axum"))]
        drop((before, stripped));
    }
}

/// Removes the parameter from the copy of the URI that axum's router keeps.
///
/// A layer inside of a router runs after the router has made the copy. Unless the router is nested
/// in another one, the copy equals the URI `before` the parameter was removed.
#[cfg(feature = "axum")]
fn strip_original_uri(
    extensions: &mut http::Extensions,
    before: &Uri,
    after: Uri,
    parameter: &str,
) {
    let Some(axum::extract::OriginalUri(original)) = extensions.get_mut() else {
        return;
    };
    if original == before {
        *original = after;
    } else if let Some(stripped) = remove_parameter(original, parameter) {
        *original = stripped;
    }
}

/// The URI without the parameter, or `None` if it has none of that name.
///
/// Names are compared after decoding, so that `%74oken` does not carry a secret past us.
pub(crate) fn remove_parameter(uri: &Uri, name: &str) -> Option<Uri> {
    let path_and_query = uri.path_and_query()?;
    let query = path_and_query.query()?;
    let (path, mut found) = (path_and_query.path(), false);
    let mut stripped = Vec::with_capacity(path_and_query.as_str().len());
    stripped.extend_from_slice(path.as_bytes());
    for pair in split(query.as_bytes(), b'&') {
        if value_of(pair, name).is_some() {
            found = true;
        } else {
            stripped.push(if stripped.len() == path.len() {
                b'?'
            } else {
                b'&'
            });
            stripped.extend_from_slice(pair);
        }
    }
    if !found {
        return None;
    }
    // What is left of a valid path and query is one. Should it ever not be, losing the address is
    // better than handing the secret on.
    let path_and_query = PathAndQuery::from_maybe_shared(bytes::Bytes::from(stripped))
        .unwrap_or_else(|_| PathAndQuery::from_static("/"));
    if uri.authority().is_none() {
        return Some(Uri::from(path_and_query));
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    Some(Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("/")))
}

/// The value of `pair` if it is named `name`, still encoded.
fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    if let Some(behind) = pair.strip_prefix(name.as_bytes()) {
        match behind {
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

fn bounded(pairs: usize) -> Result<(), Unreadable> {
    match pairs > MAX_PAIRS {
        true => Err(Unreadable::TooLarge),
        false => Ok(()),
    }
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
    fn the_rest_of_the_address_stays_byte_for_byte() {
        let table = [
            ("/ws?token=x", Some("/ws")),
            ("/ws?token", Some("/ws")),
            ("/ws?%74oken=x&a=%20+", Some("/ws?a=%20+")),
            ("/ws?a=1&token=x&b", Some("/ws?a=1&b")),
            ("/ws?token=x&token=y&&c=", Some("/ws?&c=")),
            ("http://h:1/p?token=x&q=1", Some("http://h:1/p?q=1")),
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
    fn the_page_that_a_request_comes_from_is_named_without_its_token() {
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
