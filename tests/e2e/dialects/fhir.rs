use serde_json::json;

use crate::guarded::Guarded;

#[tokio::test]
async fn every_way_to_bind_with_a_token() {
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
        socket.say(&bind).await;
        let handshake = socket.hear_json().await;
        assert_eq!(handshake["resourceType"], "Bundle", "{handshake}");
        assert_eq!(handshake["type"], "subscription-notification");
        let status = &handshake["entry"][0]["resource"];
        assert_eq!(status["resourceType"], "SubscriptionStatus", "{handshake}");
        assert_eq!(status["type"], "handshake");
        assert_eq!(socket.hear_json().await["subject"], "alice");
        socket.assert_echoes().await;
    }
}

#[tokio::test]
async fn who_was_admitted_binds_by_name() {
    let guarded = Guarded::start(&[]);
    let (mut socket, hello) = guarded.open_as("ws/fhir", guarded.alice()).await;
    assert_eq!(hello["subject"], "alice");
    socket.say("bind 123").await;
    assert_eq!(socket.hear().await, "bound 123");
    socket.assert_echoes().await;
}

#[tokio::test]
async fn a_bad_bind_is_told_why() {
    let guarded = Guarded::start(&[]);
    let wrong = guarded.server.foreign_secret();
    for bind in [
        format!("bind-with-token {wrong}"),
        "bind-with-token".to_owned(),
        "bind 123".to_owned(),
        "hello".to_owned(),
        "{}".to_owned(),
    ] {
        let mut socket = guarded.pending("ws/fhir").await;
        socket.say(&bind).await;
        let (code, reason) = socket.closed().await;
        assert_eq!(code, 1002, "{bind}");
        assert!(
            !reason.is_empty() && !reason.contains(&wrong),
            "{bind}: {reason}"
        );
    }
}

/// Binding again renews; a token that is not good changes nothing; somebody else's ends it.
#[tokio::test]
async fn binding_again_renews() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let bind = |token: &str| format!("bind-with-token {token}");
    let wrong = guarded.server.foreign_secret();
    let mut socket = guarded.pending("ws/fhir").await;
    socket.say(&bind(guarded.alice())).await;
    socket.hear_json().await;
    socket.hear_json().await;
    socket.say(&bind(guarded.alice())).await;
    assert_eq!(socket.hear_json().await["resourceType"], "Bundle");
    socket.say(&bind(&wrong)).await;
    assert_eq!(socket.hear_json().await["resourceType"], "OperationOutcome");
    socket.assert_echoes().await;
    socket.say(&bind(&guarded.bob)).await;
    assert_eq!(socket.close_code().await, 1002);
}
