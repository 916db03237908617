use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{Request, Uri};
use portcullis_core::{Carrier, Credential, Scheme};

use super::{MAX_PAIRS, Taken, Unreadable, decode};

/// Reads a parameter of the query: `?token=…`.
///
/// The parameter has to occur exactly once, with a value. Its percent-encoding has to be right,
/// and a `+` is a plus. It is taken out of the request's URI and of axum's `OriginalUri`; the rest
/// of the query stays byte for byte.
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
/// use portcullis::carrier::Query;
///
/// let profile = Profile::default().carrier(Query::named("token"));
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    name: Cow<'static, str>,
    forgiving: bool,
}

impl Query {
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

    pub(super) fn take<B>(&self, request: &mut Request<B>) -> Taken {
        let Some(query) = request.uri().query() else {
            return Ok(None);
        };
        let mut values = query
            .split('&')
            .filter_map(|pair| value_of(pair, &self.name));
        let Some(first) = values.next() else {
            return match query.split('&').nth(MAX_PAIRS) {
                Some(_) => Err(Unreadable::TooLarge),
                None => Ok(None),
            };
        };
        let last = values.last();
        let taken = if query.split('&').nth(MAX_PAIRS).is_some() {
            Err(Unreadable::TooLarge)
        } else if self.forgiving {
            read_forgiving(last.unwrap_or(first))
        } else if last.is_some() {
            Err(Unreadable::Malformed(
                "the query has the parameter more than once",
            ))
        } else {
            decode::percent(first.as_bytes()).map(Some)
        };
        if let Some(stripped) = remove_parameter(request.uri(), &self.name) {
            *request.uri_mut() = stripped;
        }
        #[cfg(feature = "axum")]
        crate::axum::strip_original_uri(request.extensions_mut(), &self.name);
        taken.map(|secret| {
            secret.map(|secret| Credential::new(Carrier::Query, Scheme::Bearer, secret))
        })
    }
}

/// The URI without the parameter, or `None` if it has none of that name.
///
/// Names are compared after decoding, so that `%74oken` does not carry a secret past us.
pub(crate) fn remove_parameter(uri: &Uri, name: &str) -> Option<Uri> {
    let path_and_query = uri.path_and_query()?;
    let query = path_and_query.query()?;
    let is_named = |pair: &str| value_of(pair, name).is_some();
    if !query.split('&').any(is_named) {
        return None;
    }
    let mut stripped = String::with_capacity(path_and_query.as_str().len());
    stripped.push_str(path_and_query.path());
    let mut separator = '?';
    for pair in query.split('&').filter(|pair| !is_named(pair)) {
        stripped.push(separator);
        stripped.push_str(pair);
        separator = '&';
    }
    let mut parts = uri.clone().into_parts();
    // What is left of a valid path and query is one. Should it ever not be, losing the address is
    // better than handing the secret on.
    parts.path_and_query = Some(
        PathAndQuery::from_maybe_shared(bytes::Bytes::from(stripped))
            .unwrap_or_else(|_| PathAndQuery::from_static("/")),
    );
    Some(Uri::from_parts(parts).unwrap_or_else(|_| Uri::from_static("/")))
}

/// The value of `pair` if it is named `name`, still encoded.
fn value_of<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let is_named = match key.contains('%') {
        true => percent_encoding::percent_decode_str(key).eq(name.bytes()),
        false => key == name,
    };
    is_named.then_some(value)
}

fn read_forgiving(value: &str) -> Result<Option<String>, Unreadable> {
    let spaced = value.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced)
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
}
