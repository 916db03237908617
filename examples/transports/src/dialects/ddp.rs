use axum::Error;
use axum::extract::ws::Message;
use axum::response::Response;
use portcullis::{GuardedSocket, GuardedUpgrade, Identity};
use serde_json::{Value, json};

use crate::echo::RequestView;

/// A DDP server with the methods `whoami` and `echo`, and without subscriptions.
///
/// The dialect answers `connect`, `login` and `ping`.
pub(crate) async fn socket(request: RequestView, upgrade: GuardedUpgrade) -> Response {
    let request = request.with_offer(&upgrade);
    upgrade.on_upgrade(async move |socket| {
        // An error means that the socket is closed.
        let _ = serve(socket, request).await;
    })
}

async fn serve(mut socket: GuardedSocket, request: RequestView) -> Result<(), Error> {
    socket.send(request.describe(&socket)).await?;
    while let Some(message) = socket.recv().await {
        let Message::Text(text) = message? else {
            continue;
        };
        for reply in replies(&text, &socket.identity()) {
            socket.send(Message::text(reply.to_string())).await?;
        }
    }
    Ok(())
}

fn replies(text: &str, identity: &Identity) -> Vec<Value> {
    let message: Value = serde_json::from_str(text).unwrap_or_default();
    let id = &message["id"];
    match message["msg"].as_str() {
        Some("method") => {
            let (outcome, value) = match message["method"].as_str() {
                Some("whoami") => ("result", json!(identity.subject())),
                Some("echo") => ("result", message["params"][0].clone()),
                name => ("error", not_found("Method", name)),
            };
            vec![
                json!({ "msg": "result", "id": id, outcome: value }),
                json!({ "msg": "updated", "methods": [id] }),
            ]
        }
        Some("sub") => {
            let error = not_found("Subscription", message["name"].as_str());
            vec![json!({ "msg": "nosub", "id": id, "error": error })]
        }
        Some("unsub") => vec![json!({ "msg": "nosub", "id": id })],
        _ => vec![json!({ "msg": "error", "reason": "Bad request" })],
    }
}

/// Returns the error object that Meteor sends.
fn not_found(kind: &str, name: Option<&str>) -> Value {
    let reason = format!("{kind} '{}' not found", name.unwrap_or_default());
    json!({
        "isClientSafe": true,
        "error": 404,
        "reason": reason,
        "message": format!("{reason} [404]"),
        "errorType": "Meteor.Error",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_gets_the_replies_of_meteor() {
        let rows = [
            (
                r#"{"msg":"method","method":"whoami","id":"1","params":[]}"#,
                r#""result":"alice""#,
            ),
            (
                r#"{"msg":"method","method":"echo","id":"1","params":[{"a":[1]}]}"#,
                r#""result":{"a":[1]}"#,
            ),
            (
                r#"{"msg":"method","method":"echo","id":"1"}"#,
                r#""result":null"#,
            ),
            (
                r#"{"msg":"method","method":"rm","id":"1"}"#,
                "Method 'rm' not found [404]",
            ),
            (
                r#"{"msg":"sub","name":"tasks","id":"1"}"#,
                r#""msg":"nosub""#,
            ),
            (r#"{"msg":"unsub","id":"1"}"#, r#""msg":"nosub""#),
            (r#"{"msg":"hello"}"#, "Bad request"),
            ("hello", "Bad request"),
        ];
        for (text, expected) in rows {
            let replies = replies(text, &Identity::new("alice"));
            let first = replies[0].to_string();
            assert!(first.contains(expected), "{text}: {first}");
            let is_method = text.contains("method");
            assert_eq!(replies.len(), 1 + usize::from(is_method), "{text}");
            if is_method {
                assert_eq!(replies[1], json!({ "msg": "updated", "methods": ["1"] }));
            }
        }
    }
}
