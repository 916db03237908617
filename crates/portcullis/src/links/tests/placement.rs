//! A layer in the wrong place reports its mistake once, and names the fix.

use super::*;

const FIX: &str = "Wrap the whole router: `let app = persist_token_layer.layer(app);`";

#[tokio::test]
async fn layer_inside_of_auth_reports_an_error_once() {
    let server = Server::new();
    let auth = AuthLayer::new(server.verifier.clone()).profile(Profile::jupyter());
    let links = PersistTokenLayer::for_auth(&auth, server.cookie.clone());
    let handler: Handler = tower::service_fn(handle);
    let app = auth.layer(links.layer(handler));

    let log = Log::default();
    let _guard = log.capture();
    for _ in 0..2 {
        let sent = request("GET", "/?token=alice-1", TYPED, &Jar::default());
        let response = app.clone().oneshot(sent).await.unwrap();
        assert_eq!(outcome(&response), "pass 200");
    }
    let text = log.text();
    let error = "PersistTokenLayer is inside of AuthLayer";
    assert_eq!(text.matches(error).count(), 1, "{text}");
    assert!(text.contains("ERROR") && text.contains(FIX), "{text}");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn layer_inside_of_a_nested_router_reports_an_error_once() {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::any;

    let server = Server::new();
    let auth = AuthLayer::new(server.verifier.clone()).profile(Profile::jupyter());
    let links = PersistTokenLayer::for_auth(&auth, server.cookie.clone());
    let lab = Router::new().route("/tree", any(async || "a page"));
    let nested: Router = Router::new().nest("/lab", lab.clone().layer(links.clone()));
    let wrapped = links.layer(Router::new().nest("/lab", lab).route_layer(auth));

    let log = Log::default();
    let _guard = log.capture();
    let sent = || {
        let request = request("GET", "/lab/tree?token=alice-1", TYPED, &Jar::default());
        request.map(Body::from)
    };
    let response = wrapped.oneshot(sent()).await.unwrap();
    assert_eq!(response.headers()["location"], "/lab/tree");
    assert!(!log.text().contains("ERROR"), "{}", log.text());
    for _ in 0..2 {
        let response = nested.clone().oneshot(sent()).await.unwrap();
        assert_eq!(response.headers()["location"], "/tree");
    }
    let text = log.text();
    let error = "PersistTokenLayer is inside of a nested router: a link to /lab/tree?[13 bytes] \
                 redirects to /tree?[13 bytes]";
    assert_eq!(text.matches(error).count(), 1, "{text}");
    assert!(text.contains("ERROR") && text.contains(FIX), "{text}");
}
