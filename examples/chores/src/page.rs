use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use rust_embed::RustEmbed;

/// A file of the page whose files are `W`, or one that all pages have: the icon, the style of them
/// all (`theme.css`) and of those that are one sheet (`sheet.css`).
///
/// `policy` is the page's Content-Security-Policy. The files are part of the binary; a debug build
/// reads them anew each time.
pub fn file<W: RustEmbed>(path: &str, policy: &'static str) -> Response {
    let Some(file) = W::get(path).or_else(|| Common::get(path)) else {
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

/// The content type that goes with the end of a file's name.
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
struct Common;

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that has nothing of its own.
    #[derive(RustEmbed)]
    #[folder = "src/"]
    struct Bare;

    #[test]
    fn every_page_has_what_is_common() {
        let rows = [
            ("theme.css", StatusCode::OK, "text/css; charset=utf-8"),
            ("sheet.css", StatusCode::OK, "text/css; charset=utf-8"),
            ("icon.svg", StatusCode::OK, "image/svg+xml"),
        ];
        for (path, status, kind) in rows {
            let response = file::<Bare>(path, "default-src 'none'");
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
            let policy = &response.headers()[header::CONTENT_SECURITY_POLICY];
            assert_eq!(policy, "default-src 'none'");
        }
        for path in ["", "index.html", "../Cargo.toml", "/etc/passwd"] {
            let status = file::<Bare>(path, "").status();
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
