use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::fhir::FhirJson;

/// Returns the `CapabilityStatement` of this server.
pub(super) async fn read(State(app): State<Arc<App>>) -> FhirJson {
    FhirJson(json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-22",
        "kind": "instance",
        "software": { "name": "portcullis fhir-subscriptions", "version": env!("CARGO_PKG_VERSION") },
        "implementation": {
            "description": "Subscriptions over WebSocket, with binding tokens that expire.",
            "url": app.base(),
        },
        "fhirVersion": "5.0.0",
        "format": ["json"],
        "rest": [{
            "extension": [{
                "url": "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket",
                "valueUri": app.websocket_url(),
            }],
            "mode": "server",
            "security": { "description": "A bearer token in the Authorization header." },
            "resource": [
                resource("Encounter", &["create", "read", "update"], &[], &[]),
                resource(
                    "Subscription",
                    &["create", "delete", "read", "search-type", "update"],
                    &[("_id", "token"), ("status", "token"), ("topic", "uri")],
                    &["get-ws-binding-token", "status", "events"],
                ),
                resource(
                    "SubscriptionTopic",
                    &["read", "search-type"],
                    &[("url", "uri")],
                    &[],
                ),
            ],
        }],
    }))
}

fn resource(
    kind: &str,
    interactions: &[&str],
    parameters: &[(&str, &str)],
    operations: &[&str],
) -> Value {
    let interactions: Vec<_> = interactions
        .iter()
        .map(|code| json!({ "code": code }))
        .collect();
    let mut resource = json!({ "type": kind, "interaction": interactions });
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, kind)| json!({ "name": name, "type": kind }))
        .collect();
    if !parameters.is_empty() {
        resource["searchParam"] = json!(parameters);
    }
    let operations: Vec<_> = operations
        .iter()
        .map(|name| {
            let definition = format!("http://hl7.org/fhir/OperationDefinition/Subscription-{name}");
            json!({ "name": name, "definition": definition })
        })
        .collect();
    if !operations.is_empty() {
        resource["operation"] = json!(operations);
    }
    resource
}
