//! What opening the link leaves in a browser.

use http::{Request, header};
use portcullis_e2e::{Server, fetch};

/// The name and the sealed value of each cookie that the link sets.
pub(crate) async fn cookies(server: &Server) -> Vec<(String, String)> {
    // A person opened it, and a page is wanted: for a script's request no cookie is set.
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

/// The `Cookie` line a browser sends from then on.
pub(crate) async fn cookie_line(server: &Server) -> String {
    let pairs = cookies(server).await;
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("; ")
}
