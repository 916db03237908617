use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Replaces each line of a header by what `rest_of` returns, and removes the line if that is
/// `None`.
pub(super) fn retain(
    headers: &mut HeaderMap,
    name: &HeaderName,
    rest_of: impl Fn(&HeaderValue) -> Option<HeaderValue>,
) {
    // In most requests no header occurs twice, so the first line is the only one.
    if headers.len() == headers.keys_len() {
        let Some(line) = headers.get_mut(name) else {
            return;
        };
        match rest_of(line) {
            Some(rest) => *line = rest,
            None => {
                headers.remove(name);
            }
        }
        return;
    }
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(rest_of).collect();
    headers.remove(name);
    for line in lines {
        headers.append(name.clone(), line);
    }
}
