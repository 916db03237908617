//! Tracing spans without secrets.

use http::Request;
use http::uri::Uri;
use tracing::Span;

/// Creates a span for tower-http's `TraceLayer` with method, path and version, and with the length
/// of the query instead of the query.
///
/// `TraceLayer` is outside of [`AuthLayer`](crate::AuthLayer), so it sees the request before the
/// token is removed, and its default span contains the whole URI.
///
/// ```
/// use axum::Router;
/// use portcullis::trace::redacting_span;
/// use tower_http::trace::TraceLayer;
///
/// let app: Router = Router::new()
///     .layer(TraceLayer::new_for_http().make_span_with(redacting_span));
/// ```
///
/// It has no effect on other layers that log requests.
pub fn redacting_span<B>(request: &Request<B>) -> Span {
    tracing::debug_span!(
        "request",
        method = %request.method(),
        uri = %Redacted(request.uri()),
        version = ?request.version(),
    )
}

/// Displays the path of a URI and the length of its query, without host and user info.
pub(crate) struct Redacted<'a>(pub(crate) &'a Uri);

impl std::fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path: String = self.0.path().chars().take(MAX_PATH).collect();
        f.write_str(&path)?;
        if path.len() < self.0.path().len() {
            f.write_str("…")?;
        }
        match self.0.query() {
            Some(query) => write!(f, "?[{} bytes]", query.len()),
            None => Ok(()),
        }
    }
}

/// Longer paths are cut off, so that a client cannot fill the log.
const MAX_PATH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_and_password_are_not_printed() {
        let print = |uri: &str| Redacted(&uri.parse().unwrap()).to_string();
        assert_eq!(print("/ws?token=s3cret&a"), "/ws?[14 bytes]");
        assert_eq!(print("http://alice:s3cret@host/ws"), "/ws");
        assert_eq!(print(&format!("/{}", "x".repeat(300))).chars().count(), 257);
    }
}
