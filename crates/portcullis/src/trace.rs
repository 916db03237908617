//! Spans that bear no secret.

use http::Request;
use http::uri::Uri;
use tracing::Span;

/// A span for tower-http's `TraceLayer`: method, path, version, and of the query only its length.
///
/// `TraceLayer` is outside of [`AuthLayer`](crate::AuthLayer), so it sees the request before a
/// token is taken out, and its own default writes the whole address into every log line.
///
/// ```
/// use axum::Router;
/// use tower_http::trace::TraceLayer;
///
/// let app: Router = Router::new()
///     .layer(TraceLayer::new_for_http().make_span_with(portcullis::trace::redacting_span));
/// ```
///
/// It protects this span and no other: a layer of somebody else that logs addresses or headers
/// outside of ours still sees them.
pub fn redacting_span<B>(request: &Request<B>) -> Span {
    tracing::debug_span!(
        "request",
        method = %request.method(),
        uri = %Redacted(request.uri()),
        version = ?request.version(),
    )
}

/// The address without its query, and without a user's name and password in front of the host.
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

/// A log line has an end, whatever a client sends.
const MAX_PATH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_no_query_and_no_password() {
        let print = |uri: &str| Redacted(&uri.parse().unwrap()).to_string();
        assert_eq!(print("/ws?token=s3cret&a"), "/ws?[14 bytes]");
        assert_eq!(print("http://alice:s3cret@host/ws"), "/ws");
        assert_eq!(print(&format!("/{}", "x".repeat(300))).chars().count(), 257);
    }
}
