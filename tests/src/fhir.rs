use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{Server, fetch, python};

/// A REST client of the FHIR server.
#[derive(Debug)]
pub struct Fhir<'a> {
    server: &'a Server,
    token: String,
}

/// The response of `$get-ws-binding-token`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BindingToken {
    /// The token, which the server must not print.
    pub token: String,
    /// The time at which the token expires.
    pub expires_at: OffsetDateTime,
    /// The address of the socket to bind it on.
    pub url: String,
}

impl<'a> Fhir<'a> {
    /// Creates a client with this access token.
    pub fn new(server: &'a Server, token: &str) -> Self {
        Self {
            server,
            token: token.to_owned(),
        }
    }

    /// Subscribes to the start of encounters and returns the id of the subscription. `more` has
    /// optional fields of the resource.
    ///
    /// # Panics
    ///
    /// Panics if the server refuses, as all methods here do.
    pub async fn subscribe(&self, more: Value) -> String {
        let mut resource = json!({
            "resourceType": "Subscription",
            "status": "requested",
            "topic": "http://example.org/SubscriptionTopic/encounter-start",
            "channelType": { "code": "websocket" },
        });
        if let (Some(fields), Value::Object(more)) = (resource.as_object_mut(), more) {
            fields.extend(more);
        }
        let resource = self.post("Subscription", &resource).await;
        text(&resource["id"])
    }

    /// Creates an encounter, which causes an event, and returns its id.
    pub async fn admit(&self, patient: &str) -> String {
        let encounter = json!({
            "resourceType": "Encounter",
            "status": "in-progress",
            "subject": { "reference": patient },
        });
        text(&self.post("Encounter", &encounter).await["id"])
    }

    /// Requests a token for one subscription.
    pub async fn binding_token(&self, subscription: &str) -> BindingToken {
        let path = format!("Subscription/{subscription}/$get-ws-binding-token");
        let parameters = self.post(&path, &Value::Null).await;
        let value = |name: &str| {
            let all = parameters["parameter"].as_array().expect("parameters");
            let found = all.iter().find(|parameter| parameter["name"] == name);
            let fields = found.and_then(Value::as_object).expect("a parameter");
            let value = fields.iter().find(|(key, _)| key.starts_with("value"));
            text(value.expect("a value").1)
        };
        let token = value("token");
        self.server.keep_secret(&token);
        let expires_at = OffsetDateTime::parse(&value("expiration"), &Rfc3339);
        BindingToken {
            token,
            expires_at: expires_at.expect("a point in time"),
            url: value("websocket-url"),
        }
    }

    /// Sends `GET [base]/path`.
    pub async fn get(&self, path: &str) -> Value {
        self.request("GET", path, String::new()).await
    }

    /// Sends `POST [base]/path`, with no body if `resource` is `null`.
    pub async fn post(&self, path: &str, resource: &Value) -> Value {
        let body = match resource {
            Value::Null => String::new(),
            resource => resource.to_string(),
        };
        self.request("POST", path, body).await
    }

    async fn request(&self, method: &str, path: &str, body: String) -> Value {
        let url = format!("{}fhir/{path}", self.server.base());
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/fhir+json");
        }
        let response = fetch(request.body(body).expect("a request")).await;
        let is_success = [StatusCode::OK, StatusCode::CREATED].contains(&response.status());
        assert!(
            is_success,
            "{path}: {} {}",
            response.status(),
            response.body()
        );
        serde_json::from_str(response.body()).expect("JSON")
    }
}

/// Validates resources with the Python package `fhir.resources` and returns the faults it finds.
///
/// # Panics
///
/// Panics if the driver does not run.
pub async fn faults(resources: &[Value]) -> Vec<String> {
    let found = python("fhir_resources.py", &[], &json!(resources)).await;
    let found = found.expect("the driver runs");
    let found = found.as_array().expect("a list");
    assert_eq!(found.len(), resources.len());
    let all = found.iter().zip(resources);
    all.filter(|(fault, _)| !fault.is_null())
        .map(|(fault, resource)| format!("{fault} in {resource:#}"))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
