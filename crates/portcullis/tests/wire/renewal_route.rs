//! The renewal endpoint: its requests, and where it can be mounted. The rules of a renewal are in
//! [`renewal`](crate::renewal).

use axum::Router;
use axum::routing::post;
use portcullis::session::SessionId;
use portcullis::{AuthLayer, ws::renewal_handler};

use crate::renewal::open;
use crate::support::{HttpVersion, Table, TestServer, renew_request, wait_for_close};

#[tokio::test(start_paused = true)]
async fn invalid_renewal_request_is_refused() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions);
        let (_socket, id) = open(&server, version, "/echo").await;
        let unknown: SessionId = "AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
        for (body, expected) in [
            (String::new(), 400),
            ("{}".to_owned(), 400),
            (format!(r#"{{"session":"{id}","more":1}}"#), 400),
            (format!(r#"{{"session":"{}"}}"#, "a".repeat(2_000)), 400),
            (r#"{"session":7}"#.to_owned(), 400),
            (r#"{"session":"x"}"#.to_owned(), 404),
            (format!(r#"{{"session":"{unknown}"}}"#), 404),
            (format!(r#"{{"session":"{id}"}}"#), 200),
        ] {
            let request = server.client(version).post("/renew").bearer("later");
            let response = request.body(body.clone()).send().await;
            table.row((version, body), expected, response.status().as_u16());
        }
        let anonymous = server.client(version).post("/renew").send().await;
        table.row((version, "no token"), 401, anonymous.status().as_u16());
    }
    table.finish();
}

/// A request for the session of another subject closes that session.
#[tokio::test(start_paused = true)]
async fn renewal_endpoint_works_behind_another_layer() {
    let server = TestServer::new(|sessions| sessions);
    let (mut socket, id) = open(&server, HttpVersion::Http1, "/echo").await;
    let app: Router = Router::new()
        .route("/renew", post(renewal_handler(&server.sessions)))
        .route_layer(AuthLayer::new(server.tokens.clone()).clock(server.clock.clone()));
    for version in HttpVersion::ALL {
        let request = renew_request(&version.client(app.clone()), "bob", id);
        let response = request.send().await;
        // The first request closes the session, so the second one does not find it.
        let expected = if version == HttpVersion::Http1 {
            403
        } else {
            404
        };
        assert_eq!(response.status(), expected);
    }
    assert_eq!(
        wait_for_close(&mut socket).await,
        "3003 credential of another subject"
    );
}
