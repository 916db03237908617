use http::header::UPGRADE;
use http::{Method, Request};
use hyper::upgrade::OnUpgrade;

/// Whether `request` asks for an upgrade, in any way a service behind us could understand.
///
/// It errs on the wide side: axum takes `Connection: no-upgrade` for an upgrade, and a predicate
/// narrower than that of the service behind us would open a door. Nobody is let in or kept out
/// because of the answer; it shapes the refusal, the echo and what is asked of the origin.
/// `Sec-Fetch-*` is never looked at: Chromium sends none on upgrades.
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(UPGRADE) || is_upgrade_without_header(request)
}

/// The same, for who has seen that the request has no header that says so.
pub(super) fn is_upgrade_without_header<B>(request: &Request<B>) -> bool {
    request.method() == Method::CONNECT || request.extensions().get::<OnUpgrade>().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errs_on_the_wide_side() {
        let request = || Request::builder().uri("/ws");
        assert!(is_upgrade(
            &request().header("upgrade", "websocket").body(()).unwrap()
        ));
        assert!(is_upgrade(
            &request().header("Upgrade", "h2c").body(()).unwrap()
        ));
        assert!(is_upgrade(&request().method("CONNECT").body(()).unwrap()));
        assert!(!is_upgrade(
            &request().header("connection", "upgrade").body(()).unwrap()
        ));
        assert!(!is_upgrade(&request().body(()).unwrap()));
    }
}
