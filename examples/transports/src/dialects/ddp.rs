use axum::extract::ws::Message;
use axum::response::Response;
use portcullis::{GuardedUpgrade, Identity};
use serde_json::{Value, json};

use crate::hello::Seen;

/// Two methods and no subscription. The dialect has done `connect`, `login` and `ping`.
pub(crate) async fn socket(seen: Seen, upgrade: GuardedUpgrade) -> Response {
    let seen = seen.offered(&upgrade);
    upgrade.on_upgrade(async move |mut socket| {
        if socket.send(seen.hello(&socket)).await.is_err() {
            return;
        }
        while let Some(Ok(message)) = socket.recv().await {
            let Message::Text(text) = message else {
                continue;
            };
            for reply in answer(&text, &socket.identity()) {
                let reply = Message::Text(reply.to_string().into());
                if socket.send(reply).await.is_err() {
                    return;
                }
            }
        }
    })
}

fn answer(text: &str, identity: &Identity) -> Vec<Value> {
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

/// As Meteor says it.
fn not_found(what: &str, name: Option<&str>) -> Value {
    let reason = format!("{what} '{}' not found", name.unwrap_or_default());
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
    fn each_message_has_its_answer() {
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
            let replies = answer(text, &Identity::new("alice"));
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
