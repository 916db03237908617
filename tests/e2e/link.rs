//! The cookies that the login link sets.

use http::{Request, header};
use portcullis_e2e::{Server, fetch};

/// Returns the name and the sealed value of each cookie that the link sets.
pub(crate) async fn cookies(server: &Server) -> Vec<(String, String)> {
    // The headers of a page navigation: the server sets no cookie on the request of a script.
    let request = Request::get(server.link())
        .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "none")
        .header("sec-fetch-user", "?1")
        .body(String::new())
        .expect("a request");
    let response = fetch(request).await;
    assert!(response.status().is_redirection(), "{}", response.status());
    assert_eq!(response.headers()[header::LOCATION], "/");
    let lines = response.headers().get_all(header::SET_COOKIE).iter();
    let cookies: Vec<_> = lines
        .filter_map(|line| line.to_str().ok()?.split(';').next()?.split_once('='))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(!cookies.is_empty(), "the link sets a cookie");
    cookies
}

/// Returns the `Cookie` header that a browser sends afterwards.
pub(crate) async fn cookie_line(server: &Server) -> String {
    let pairs = cookies(server).await;
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("; ")
}
