use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::client::{ALICE, BOB, Server, encounter, parameter, subscription};

#[tokio::test]
async fn requests_without_a_valid_token_are_refused() {
    let server = Server::start().await;
    for token in ["", "wrong"] {
        for path in ["Subscription", "SubscriptionTopic", "Encounter/1"] {
            let answer = server.get(token, path).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.body["resourceType"], "OperationOutcome");
            assert_eq!(answer.body["issue"][0]["code"], "login");
            assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
        }
    }
}

#[tokio::test]
async fn metadata_needs_no_token() {
    let server = Server::start().await;
    let metadata = server.get("", "metadata").await;
    assert_eq!(metadata.status, StatusCode::OK);
    assert_eq!(metadata.body["fhirVersion"], "5.0.0");
    let content_type = &metadata.headers[header::CONTENT_TYPE];
    assert_eq!(content_type, "application/fhir+json; charset=utf-8");
    let extension = &metadata.body["rest"][0]["extension"][0];
    assert_eq!(extension["valueUri"], *server.app.websocket_url());
}

#[tokio::test]
async fn only_the_owner_can_access_a_subscription() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let path = format!("Subscription/{id}");
    let answer = server.get(ALICE, &path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["status"], "active");
    assert_eq!(answer.headers[header::ETAG], "W/\"1\"");
    for path in [
        path.clone(),
        format!("{path}/$status"),
        format!("{path}/$events"),
        format!("{path}/$get-ws-binding-token"),
        format!("Subscription/$status?id={id}"),
        format!("Subscription/$get-ws-binding-token?id={id}"),
    ] {
        let answer = server.get(BOB, &path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        let answer = server.get(ALICE, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }

    let found = server.get(ALICE, "Subscription?status=active").await;
    assert_eq!(found.body["total"], 1);
    assert_eq!(found.body["entry"][0]["resource"]["id"], *id);
    let none = server.get(ALICE, "Subscription?status=off").await;
    assert_eq!(none.body["total"], 0);
    assert!(
        none.body.get("entry").is_none(),
        "FHIR does not allow empty arrays"
    );
    assert_eq!(server.get(BOB, "Subscription").await.body["total"], 0);

    let path = format!("/fhir/{path}");
    for (token, expected) in [
        (BOB, StatusCode::NOT_FOUND),
        (ALICE, StatusCode::NO_CONTENT),
        (ALICE, StatusCode::NOT_FOUND),
    ] {
        let answer = server
            .send(token, Method::DELETE, &path, "", String::new())
            .await;
        assert_eq!(answer.status, expected);
    }
}

#[tokio::test]
async fn unsupported_subscriptions_are_refused() {
    let server = Server::start().await;
    let rows = [
        (json!({ "topic": "http://example.org/other" }), 422),
        (json!({ "channelType": { "code": "rest-hook" } }), 422),
        (json!({ "contentType": "application/fhir+xml" }), 422),
        (json!({ "end": "2030-01-01T00:00:00Z" }), 422),
        (json!({ "status": "off" }), 400),
        (json!({ "content": "everything" }), 400),
        (json!({ "heartbeatPeriod": -1 }), 400),
        (
            json!({ "filterBy": [{ "filterParameter": "status", "value": "x" }] }),
            422,
        ),
        (
            json!({ "filterBy": [{ "filterParameter": "patient", "comparator": "ne", "value": "x" }] }),
            422,
        ),
        (
            json!({ "filterBy": [
                { "filterParameter": "patient", "value": "x" },
                { "filterParameter": "patient", "value": "y" },
            ] }),
            422,
        ),
        (json!({ "resourceType": "Encounter" }), 400),
        (json!({ "resourceType": "Nothing" }), 400),
    ];
    for (change, expected) in rows {
        let mut resource = subscription();
        let fields = change.as_object().unwrap().clone();
        resource.as_object_mut().unwrap().extend(fields);
        let answer = server.post(ALICE, "Subscription", &resource).await;
        assert_eq!(answer.status.as_u16(), expected, "{change} {}", answer.body);
        assert_eq!(answer.body["resourceType"], "OperationOutcome", "{change}");
    }
    assert_eq!(server.get(ALICE, "Subscription").await.body["total"], 0);
}

#[tokio::test]
async fn bodies_must_be_json_within_the_size_limit() {
    let server = Server::start().await;
    let (path, body) = ("/fhir/Encounter", encounter("Patient/1").to_string());
    let too_long = format!("{}{body}", " ".repeat(70_000));
    for (content_type, body, expected) in [
        ("application/json", body.clone(), 201),
        ("application/fhir+json; charset=utf-8", body.clone(), 201),
        ("application/fhir+xml", body.clone(), 415),
        ("application/fhir+json", too_long, 413),
        ("application/fhir+json", "{".to_owned(), 400),
    ] {
        let answer = server
            .send(ALICE, Method::POST, path, content_type, body)
            .await;
        assert_eq!(
            answer.status.as_u16(),
            expected,
            "{content_type} {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_with_an_operation_outcome() {
    let server = Server::start().await;
    for path in ["/fhir/Patient", "/fhir/Subscription/a/b"] {
        let answer = server
            .send(ALICE, Method::GET, path, "", String::new())
            .await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.body["resourceType"], "OperationOutcome", "{path}");
    }
    let answer = server
        .send(ALICE, Method::DELETE, "/fhir/Encounter", "", String::new())
        .await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.body["resourceType"], "OperationOutcome");
}

#[tokio::test]
async fn an_update_creates_a_new_version_of_an_encounter() {
    let server = Server::start().await;
    let first = server.create_encounter("Patient/1").await;
    let id = first["id"].as_str().unwrap();
    let mut changed = first.clone();
    changed["status"] = json!("completed");
    let put = async |path: &str, resource: &Value| {
        let path = format!("/fhir/{path}");
        let body = resource.to_string();
        server
            .send(ALICE, Method::PUT, &path, "application/fhir+json", body)
            .await
    };
    let answer = put(&format!("Encounter/{id}"), &changed).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.headers[header::ETAG], "W/\"2\"");
    let read = server.get(BOB, &format!("Encounter/{id}")).await;
    assert_eq!(read.body["status"], "completed");
    assert_eq!(read.body["meta"]["versionId"], "2");

    assert_eq!(put("Encounter/99", &changed).await.status, 400);
    changed["id"] = json!("99");
    assert_eq!(put("Encounter/99", &changed).await.status, 404);
    assert_eq!(
        server.get(BOB, &format!("Encounter/0{id}")).await.status,
        404
    );
    changed["status"] = json!("asleep");
    assert_eq!(put("Encounter/99", &changed).await.status, 400);
}

#[tokio::test]
async fn a_binding_token_is_valid_for_the_requested_subscriptions() {
    let server = Server::start().await;
    let operation = "Subscription/$get-ws-binding-token";
    let none = server.post(ALICE, operation, &Value::Null).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);

    let mut ids = [
        server.subscribe(ALICE, json!({})).await,
        server.subscribe(ALICE, json!({})).await,
    ];
    ids.sort();
    server.subscribe(BOB, json!({})).await;
    let [a, b] = &ids;
    let parameters = |ids: &[&String]| {
        let parameter: Vec<_> = ids
            .iter()
            .map(|id| json!({ "name": "id", "valueId": id }))
            .collect();
        json!({ "resourceType": "Parameters", "parameter": parameter })
    };
    let instance = format!("Subscription/{a}/$get-ws-binding-token");
    let rows = [
        (operation, Value::Null, vec![&**a, b]),
        (operation, parameters(&[b]), vec![b]),
        (operation, parameters(&[b, a, b]), vec![a, b]),
        // The operation of an instance ignores the parameter `id`.
        (&instance, parameters(&[b]), vec![a]),
        (&instance, Value::Null, vec![a]),
    ];
    let mut tokens = Vec::new();
    for (path, body, expected) in rows {
        let answer = server.post(ALICE, path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {}", answer.body);
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(parameter(&answer.body, "subscription"), expected, "{path}");
        let url = server.app.websocket_url();
        assert_eq!(parameter(&answer.body, "websocket-url"), [&url]);
        assert_eq!(parameter(&answer.body, "expiration").len(), 1);
        tokens.push(parameter(&answer.body, "token")[0].to_owned());
    }
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 5, "each token is new");
    let unknown = parameters(&[&"unknown".to_owned()]);
    let answer = server.post(ALICE, operation, &unknown).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn past_events_are_returned_with_the_requested_range_and_content() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({ "content": "empty" })).await;
    for patient in ["Patient/1", "Patient/2", "Patient/3"] {
        server.create_encounter(patient).await;
    }
    let events = async |query: &str| {
        let path = format!("Subscription/{id}/$events{query}");
        server.get(ALICE, &path).await
    };
    let rows = [
        ("", vec!["1", "2", "3"], 1),
        ("?eventsSinceNumber=2", vec!["2", "3"], 1),
        (
            "?eventsSinceNumber=2&eventsUntilNumber=2&content=id-only",
            vec!["2"],
            2,
        ),
        (
            "?eventsUntilNumber=2&content=full-resource",
            vec!["1", "2"],
            3,
        ),
        ("?eventsSinceNumber=4", vec![], 1),
    ];
    for (query, expected, entries) in rows {
        let answer = events(query).await;
        assert_eq!(answer.status, StatusCode::OK, "{query} {}", answer.body);
        assert_eq!(answer.body["type"], "subscription-notification");
        let status = &answer.body["entry"][0]["resource"];
        assert_eq!(status["type"], "query-event");
        assert_eq!(status["eventsSinceSubscriptionStart"], "3");
        let listed = status["notificationEvent"].as_array();
        let listed = listed.map_or(&[][..], Vec::as_slice);
        let numbers: Vec<_> = listed.iter().map(|event| &event["eventNumber"]).collect();
        assert_eq!(numbers, expected, "{query}");
        let has_focus = query.contains("content");
        for event in listed {
            assert_eq!(event.get("focus").is_some(), has_focus, "{query}");
        }
        let found = answer.body["entry"].as_array().unwrap();
        assert_eq!(found.len(), entries, "{query}");
        for entry in &found[1..] {
            let has_resource = entry.get("resource").is_some();
            assert_eq!(has_resource, query.contains("full"), "{query}");
        }
    }
    for query in [
        "?eventsSinceNumber=x",
        "?content=all",
        "?eventsSinceNumber=1&eventsSinceNumber=2",
    ] {
        assert_eq!(events(query).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn topics_can_be_searched_and_read() {
    let server = Server::start().await;
    let all = server.get(ALICE, "SubscriptionTopic").await;
    assert_eq!(all.body["total"], 2);
    let url = &subscription()["topic"];
    let query = format!("SubscriptionTopic?url={}", url.as_str().unwrap());
    let one = server.get(ALICE, &query).await;
    assert_eq!(one.body["total"], 1);
    assert_eq!(one.body["entry"][0]["resource"]["url"], *url);
    let read = server.get(ALICE, "SubscriptionTopic/encounter-start").await;
    assert_eq!(read.body["url"], *url);
    assert_eq!(server.get(ALICE, "SubscriptionTopic/x").await.status, 404);
}
