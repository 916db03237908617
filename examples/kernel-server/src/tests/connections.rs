//! Expiry, renewal and revocation of open sockets, share links, and tickets.

use axum::http::{Method, StatusCode, header};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::client::{Server, Stream, close_code};

const EXPIRED: CloseCode = CloseCode::Iana(3000);
const REVOKED: CloseCode = CloseCode::Iana(3003);

#[tokio::test]
async fn socket_is_closed_when_its_session_expires() {
    let server = Server::start_with(&["--session-lifetime=1"]).await;
    let kernel = server.start_kernel("rhai").await;
    for path in [format!("{kernel}/channels"), "/api/events/subscribe".into()] {
        let socket = server.open(&path).await.unwrap();
        assert_eq!(close_code(socket).await, EXPIRED, "{path}");
    }
}

#[tokio::test]
async fn renewal_keeps_the_socket_open() {
    let server = Server::start_with(&["--session-lifetime=600"]).await;
    let kernel = server.start_kernel("rhai").await;
    let mut socket = server
        .connect(&kernel, "tab", crate::wire::Format::V1)
        .await;
    let id = kernel.rsplit('/').next().unwrap();
    let session_path = |client| format!("/api/portcullis/session?kernel={id}&session_id={client}");
    let (status, own) = server.json(Method::GET, &session_path("tab"), "").await;
    assert_eq!(status, StatusCode::OK, "{own}");
    assert!((1..=600).contains(&own["expires_in"].as_u64().unwrap()));

    let until = until_of(&server, &own["session"]).await;
    let renewal = json!({ "session": own["session"] }).to_string();
    let (status, renewed) = server
        .json(Method::POST, "/api/portcullis/renew", &renewal)
        .await;
    assert_eq!(status, StatusCode::OK, "{renewed}");
    let renewed_until = until_of(&server, &own["session"]).await;
    assert!(
        renewed_until > until,
        "{renewed_until} is not after {until}"
    );
    assert_eq!(socket.run("6 * 7").await.reply["status"], "ok");

    // Sockets that do not exist and sockets of other users are not found.
    let (status, _) = server.json(Method::GET, &session_path("another"), "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let guest = Guest::invite(&server, json!({})).await;
    let answer = server
        .send_as(&guest.token, Method::GET, &session_path("tab"), "")
        .await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn administrator_lists_and_revokes_sessions() {
    let server = Server::start().await;
    let mut events = server.open("/api/events/subscribe").await.unwrap();
    let guest = Guest::invite(&server, json!({})).await;
    let first = guest.open(&server).await;
    let second = guest.open(&server).await;

    let sessions = sessions(&server).await;
    let subjects: Vec<_> = sessions.iter().map(|one| &one["subject"]).collect();
    assert_eq!(subjects, [&json!("owner"), &guest.name, &guest.name]);
    assert_eq!(sessions[0]["carrier"], "query");
    // The token of the owner has no id and cannot be revoked.
    let by_link = sessions.iter().map(|one| one["link"].is_string());
    assert_eq!(by_link.collect::<Vec<_>>(), [false, true, true]);
    let peer = sessions[0]["peer"].as_str().unwrap();
    assert!(peer.starts_with("127.0.0.1:"), "{peer}");

    let closed = revoke(&server, &json!({ "session": sessions[1]["session"] })).await;
    assert_eq!(closed, 1);
    assert_eq!(close_code(first).await, REVOKED);
    // Revoking a session does not revoke the credential.
    let third = guest.open(&server).await;

    assert_eq!(revoke(&server, &json!({ "subject": guest.name })).await, 2);
    assert_eq!(close_code(second).await, REVOKED);
    assert_eq!(close_code(third).await, REVOKED);
    let refused = guest.try_open(&server).await.unwrap_err();
    assert_eq!(refused, StatusCode::FORBIDDEN);
    assert_is_open(&mut events).await;
}

#[tokio::test]
async fn owner_can_reconnect_after_revoking_all_sessions() {
    let server = Server::start().await;
    let events = server.open("/api/events/subscribe").await.unwrap();
    assert_eq!(revoke(&server, &json!({ "all": true })).await, 1);
    assert_eq!(close_code(events).await, REVOKED);
    let events = server.open("/api/events/subscribe").await.unwrap();
    assert_eq!(revoke(&server, &json!({ "subject": "owner" })).await, 1);
    assert_eq!(close_code(events).await, REVOKED);
    server.open("/api/events/subscribe").await.unwrap();
}

#[tokio::test]
async fn guests_cannot_list_or_revoke() {
    let server = Server::start().await;
    let guest = Guest::invite(&server, json!({})).await;
    let everything = json!({ "all": true }).to_string();
    let requests = [
        (Method::GET, "/api/portcullis/sessions"),
        (Method::POST, "/api/portcullis/revoke"),
        (Method::GET, "/api/share"),
        (Method::DELETE, "/api/share/1"),
    ];
    for (method, path) in requests {
        let answer = server.send_as(&guest.token, method, path, &everything);
        assert_eq!(answer.await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    for body in [
        "",
        "{}",
        "[]",
        r#"{"all":false}"#,
        r#"{"all":true,"subject":"a"}"#,
    ] {
        let (status, _) = server
            .json(Method::POST, "/api/portcullis/revoke", body)
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn revoking_a_link_closes_only_its_sockets() {
    let server = Server::start().await;
    let [revoked, kept] = [
        Guest::invite(&server, json!({})).await,
        Guest::invite(&server, json!({ "expires_in": 60 })).await,
    ];
    let socket = revoked.open(&server).await;
    let mut other = kept.open(&server).await;
    let (_, listed) = server.json(Method::GET, "/api/share", "").await;
    let listed = listed["links"].as_array().unwrap();
    let guests: Vec<_> = listed.iter().map(|link| &link["guest"]).collect();
    assert_eq!(guests, [&revoked.name, &kept.name]);
    assert_eq!(listed[0]["sockets"], 1);

    let path = format!("/api/share/{}", listed[0]["id"].as_str().unwrap());
    let (status, response) = server.json(Method::DELETE, &path, "").await;
    assert_eq!((status, response), (StatusCode::OK, json!({ "closed": 1 })));
    assert_eq!(close_code(socket).await, REVOKED);
    let refused = revoked.try_open(&server).await.unwrap_err();
    assert_eq!(refused, StatusCode::FORBIDDEN);
    assert_is_open(&mut other).await;
    let (status, _) = server.json(Method::DELETE, &path, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn socket_is_closed_when_its_link_expires() {
    let server = Server::start().await;
    let guest = Guest::invite(&server, json!({ "expires_in": 1 })).await;
    assert_eq!(close_code(guest.open(&server).await).await, EXPIRED);
}

#[tokio::test]
async fn ticket_opens_one_socket() {
    let server = Server::start().await;
    let kernel = server.start_kernel("rhai").await;
    let [channels, events] = [
        format!("{kernel}/channels"),
        "/api/events/subscribe".to_owned(),
    ];
    for path in [&channels, &events] {
        let ticket = ticket(&server, &json!({ "path": path })).await;
        let with_ticket = format!("{path}?ticket={ticket}");
        server.open_with(&with_ticket, &[]).await.unwrap();
        let again = server.open_with(&with_ticket, &[]).await.unwrap_err();
        assert_eq!(again, StatusCode::FORBIDDEN, "{path}");
    }
    // A ticket is valid only for its own path.
    let ticket = ticket(&server, &json!({ "path": events })).await;
    let wrong_path = format!("{channels}?ticket={ticket}");
    let refused = server.open_with(&wrong_path, &[]).await.unwrap_err();
    assert_eq!(refused, StatusCode::FORBIDDEN);
    let not_a_socket = json!({ "path": "/api/me" }).to_string();
    let (status, _) = server
        .json(Method::POST, "/api/portcullis/ticket", &not_a_socket)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

/// Browsers attach the cookie automatically, so the request must also have an allowed origin.
#[tokio::test]
async fn cookie_requires_an_allowed_origin() {
    let server = Server::start().await;
    let cookie = server.login_cookie().await;
    let own = format!("http://{}", server.address());
    let rows = [
        (Some("http://evil.example"), StatusCode::FORBIDDEN),
        (Some(&*own), StatusCode::OK),
    ];
    for path in ["/api/portcullis/ticket", "/api/share"] {
        for (origin, expected) in rows {
            let origin = origin.map(|origin| (header::ORIGIN, origin));
            let headers: Vec<_> = [(header::COOKIE, &*cookie)]
                .into_iter()
                .chain(origin.clone())
                .collect();
            let status = server.post_with(path, &headers).await;
            assert_eq!(status, expected, "{path} {origin:?}");
        }
    }
}

/// A guest with a share link.
struct Guest {
    name: Value,
    token: String,
}

impl Guest {
    async fn invite(server: &Server, request: Value) -> Self {
        let (status, link) = server
            .json(Method::POST, "/api/share", &request.to_string())
            .await;
        assert_eq!(status, StatusCode::OK, "{link}");
        let (_, token) = link["url"].as_str().unwrap().split_once("token=").unwrap();
        Self {
            name: link["guest"].clone(),
            token: token.to_owned(),
        }
    }

    async fn open(&self, server: &Server) -> Stream {
        self.try_open(server).await.unwrap()
    }

    async fn try_open(&self, server: &Server) -> Result<Stream, StatusCode> {
        let path = format!("/api/events/subscribe?token={}", self.token);
        server.open_with(&path, &[]).await
    }
}

async fn sessions(server: &Server) -> Vec<Value> {
    let (status, answer) = server
        .json(Method::GET, "/api/portcullis/sessions", "")
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["sessions"].as_array().unwrap().clone()
}

/// Returns the deadline without its `Z`, so that fractions of any length compare correctly.
async fn until_of(server: &Server, session: &Value) -> String {
    let sessions = sessions(server).await;
    let session = sessions.iter().find(|one| one["session"] == *session);
    let until = session.unwrap()["until"].as_str().unwrap();
    until.trim_end_matches('Z').to_owned()
}

async fn revoke(server: &Server, what: &Value) -> u64 {
    let (status, answer) = server
        .json(Method::POST, "/api/portcullis/revoke", &what.to_string())
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["closed"].as_u64().unwrap()
}

async fn ticket(server: &Server, request: &Value) -> String {
    let (status, answer) = server
        .json(Method::POST, "/api/portcullis/ticket", &request.to_string())
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["ticket"].as_str().unwrap().to_owned()
}

/// Asserts that the server answers a ping.
async fn assert_is_open(stream: &mut Stream) {
    stream.send(Message::Ping("?".into())).await.unwrap();
    loop {
        if let Message::Pong(_) = stream.next().await.unwrap().unwrap() {
            return;
        }
    }
}
