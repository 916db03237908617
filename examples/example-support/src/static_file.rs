use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use rust_embed::RustEmbed;

/// Returns the file at `path`, taken from the folder embedded in `W` or from the files that all
/// examples share.
///
/// The shared files are the icon (`icon.svg`), the theme (`theme.css`) and the layout of a
/// single-column page (`sheet.css`). `policy` is the value of `Content-Security-Policy`. A debug
/// build reads a file from disk for each request; a release build contains the files.
pub fn static_file<W: RustEmbed>(path: &str, policy: &'static str) -> Response {
    let Some(file) = W::get(path).or_else(|| Shared::get(path)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, file.data.into_owned()).into_response()
}

/// Returns the content type for the extension of `path`, or `application/octet-stream`.
pub fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json" | "webmanifest") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[derive(RustEmbed)]
#[folder = "web/"]
struct Shared;

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder without web files.
    #[derive(RustEmbed)]
    #[folder = "src/"]
    struct Empty;

    #[test]
    fn shared_files_are_served_with_every_page() {
        for (path, content_type) in [
            ("theme.css", "text/css; charset=utf-8"),
            ("sheet.css", "text/css; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
        ] {
            let response = static_file::<Empty>(path, "default-src 'none'");
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], content_type);
            let policy = &response.headers()[header::CONTENT_SECURITY_POLICY];
            assert_eq!(policy, "default-src 'none'");
        }
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in ["", "index.html", "../Cargo.toml", "/etc/passwd"] {
            let status = static_file::<Empty>(path, "").status();
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
