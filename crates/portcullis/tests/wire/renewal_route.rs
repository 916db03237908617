//! The `POST` route of renewals: what its requests have to be, and where it may be mounted. What
//! becomes of a session is in [`renewal`](crate::renewal).

use axum::Router;
use axum::routing::post;
use portcullis::session::SessionId;
use portcullis::{AuthLayer, renewal_handler};

use crate::live::{Live, end_of};
use crate::renewal::page;
use crate::site::Over;
use crate::table::Table;

#[tokio::test(start_paused = true)]
async fn bodies() {
    let mut table = Table::new();
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions);
        let (_socket, id) = page(&live, over, "/echo").await;
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
            let request = live.client(over).post("/renew").bearer("later");
            let response = request.body(body.clone()).send().await;
            table.row((over, body), expected, response.status().as_u16());
        }
        let anonymous = live.client(over).post("/renew").send().await;
        table.row((over, "nobody"), 401, anonymous.status().as_u16());
    }
    table.finish();
}

/// The renewal route may be behind a layer of its own.
#[tokio::test(start_paused = true)]
async fn a_route_of_its_own() {
    let live = Live::new(|sessions| sessions);
    let (mut socket, id) = page(&live, Over::Http1, "/echo").await;
    let app: Router = Router::new()
        .route("/renew", post(renewal_handler(&live.sessions)))
        .route_layer(AuthLayer::new(live.tokens.clone()).clock(live.clock.clone()));
    for over in Over::BOTH {
        let request = over.client(app.clone()).post("/renew").bearer("bob");
        let body = format!(r#"{{"session":"{id}"}}"#);
        let response = request.body(body).send().await;
        let expected = if over == Over::Http1 { 403 } else { 404 };
        assert_eq!(
            response.status(),
            expected,
            "the id of another's session ends it, once"
        );
    }
    assert_eq!(
        end_of(&mut socket).await,
        "3003 credential of another subject"
    );
}
