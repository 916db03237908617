use serde_json::json;

use crate::guarded::Guarded;

#[tokio::test]
async fn every_form_of_bind_with_token_authenticates() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let alice = guarded.alice();
    let medplum = json!({ "type": "bind-with-token", "payload": { "token": alice } });
    for bind in [
        format!("bind-with-token {alice}"),
        format!("bind-with-token: {alice}"),
        format!("bind-with-token:{alice}"),
        medplum.to_string(),
    ] {
        let mut socket = guarded.pending("ws/fhir").await;
        socket.send_text(&bind).await;
        let handshake = socket.receive_json().await;
        assert_eq!(handshake["resourceType"], "Bundle", "{handshake}");
        assert_eq!(handshake["type"], "subscription-notification");
        let status = &handshake["entry"][0]["resource"];
        assert_eq!(status["resourceType"], "SubscriptionStatus", "{handshake}");
        assert_eq!(status["type"], "handshake");
        assert_eq!(socket.receive_json().await["subject"], "alice");
        socket.assert_echoes().await;
    }
}

#[tokio::test]
async fn an_authenticated_client_binds_by_subscription_id() {
    let guarded = Guarded::start(&[]);
    let (mut socket, hello) = guarded.open_as("ws/fhir", guarded.alice()).await;
    assert_eq!(hello["subject"], "alice");
    socket.send_text("bind 123").await;
    assert_eq!(socket.receive_text().await, "bound 123");
    socket.assert_echoes().await;
}

#[tokio::test]
async fn an_invalid_bind_closes_with_a_reason() {
    let guarded = Guarded::start(&[]);
    let wrong = guarded.server.unknown_secret();
    for bind in [
        format!("bind-with-token {wrong}"),
        "bind-with-token".to_owned(),
        "bind 123".to_owned(),
        "hello".to_owned(),
        "{}".to_owned(),
    ] {
        let mut socket = guarded.pending("ws/fhir").await;
        socket.send_text(&bind).await;
        let (code, reason) = socket.close_frame().await;
        assert_eq!(code, 1002, "{bind}");
        assert!(
            !reason.is_empty() && !reason.contains(&wrong),
            "{bind}: {reason}"
        );
    }
}

/// A second bind renews the session. An invalid token changes nothing, and the token of another
/// subject closes the socket.
#[tokio::test]
async fn a_second_bind_renews_the_session() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let bind = |token: &str| format!("bind-with-token {token}");
    let wrong = guarded.server.unknown_secret();
    let mut socket = guarded.pending("ws/fhir").await;
    socket.send_text(&bind(guarded.alice())).await;
    socket.receive_json().await;
    socket.receive_json().await;
    socket.send_text(&bind(guarded.alice())).await;
    assert_eq!(socket.receive_json().await["resourceType"], "Bundle");
    socket.send_text(&bind(&wrong)).await;
    assert_eq!(
        socket.receive_json().await["resourceType"],
        "OperationOutcome"
    );
    socket.assert_echoes().await;
    socket.send_text(&bind(&guarded.bob)).await;
    assert_eq!(socket.close_code().await, 1002);
}
