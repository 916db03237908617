//! The REST API: statuses and bodies.

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::client::Server;

const UNKNOWN_ID: &str = "00000000-0000-0000-0000-000000000000";

#[tokio::test]
async fn requests_have_the_expected_status() {
    let server = Server::start().await;
    for (method, path, body, status) in [
        (Method::GET, "/api", "", 200),
        (Method::GET, "/api/status", "", 200),
        (Method::GET, "/api/me", "", 200),
        (
            Method::GET,
            "/api/me?permissions=%7B%22kernels%22%3A%5B%22execute%22%5D%7D",
            "",
            200,
        ),
        (Method::GET, "/api/me?permissions=x", "", 400),
        (Method::GET, "/api/kernelspecs", "", 200),
        (Method::GET, "/api/kernelspecs/rhai", "", 200),
        (Method::GET, "/api/kernelspecs/nope", "", 404),
        (Method::GET, "/kernelspecs/rhai/logo-64x64.png", "", 404),
        (Method::GET, "/api/kernels?1730000000000", "", 200),
        (Method::PUT, "/api/kernels", "", 405),
        (Method::POST, "/api/kernels", "{bad", 400),
        (Method::POST, "/api/kernels", "[1]", 400),
        (Method::POST, "/api/kernels", r#"{"name":"nope"}"#, 501),
        (Method::GET, "/api/kernels/{}", "", 404),
        (Method::GET, "/api/kernels/no-id", "", 404),
        (Method::DELETE, "/api/kernels/{}", "", 404),
        (Method::POST, "/api/kernels/{}/interrupt", "", 404),
        (Method::POST, "/api/kernels/{}/restart", "", 404),
        (Method::GET, "/api/kernels/{}/channels", "", 404),
        (Method::GET, "/api/sessions", "", 200),
        (Method::POST, "/api/sessions", "", 400),
        (Method::POST, "/api/sessions", "{}", 400),
        (Method::POST, "/api/sessions", r#"{"path":"a"}"#, 400),
        (
            Method::POST,
            "/api/sessions",
            r#"{"path":"a","type":"x","kernel":{"id":"x"}}"#,
            404,
        ),
        (Method::GET, "/api/sessions/{}", "", 404),
        (Method::PATCH, "/api/sessions/{}", "{}", 404),
        (Method::DELETE, "/api/sessions/{}", "", 404),
        (Method::GET, "/api/nope", "", 404),
        (Method::GET, "/api/events/subscribe", "", 400),
    ] {
        let path = path.replace("{}", UNKNOWN_ID);
        let (answered, body) = server.json(method.clone(), &path, body).await;
        assert_eq!(answered.as_u16(), status, "{method} {path}: {body}");
        if status >= 400 {
            assert!(body["message"].is_string(), "{method} {path}: {body}");
            assert_eq!(body["reason"], Value::Null, "{method} {path}: {body}");
        }
    }
}

#[tokio::test]
async fn kernel_can_be_started_found_and_shut_down() {
    let server = Server::start().await;
    for body in ["", r#"{"name":"rhai","path":null}"#] {
        let response = server
            .send(Method::POST, "/api/kernels?1730000000000", body)
            .await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let model: Value = serde_json::from_slice(response.body()).unwrap();
        let path = response.headers()[header::LOCATION]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            path,
            format!("/api/kernels/{}", model["id"].as_str().unwrap())
        );
        assert_eq!(model["name"], "rhai");
        assert_eq!(model["connections"], 0);

        let (_, list) = server.json(Method::GET, "/api/kernels", "").await;
        assert_eq!(list[0]["id"], model["id"]);
        let (_, status) = server.json(Method::GET, "/api/status", "").await;
        assert_eq!(status["kernels"], 1);
        let (ended, _) = server.json(Method::DELETE, &path, "").await;
        assert_eq!(ended, StatusCode::NO_CONTENT);
        let (found, _) = server.json(Method::GET, &path, "").await;
        assert_eq!(found, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn notebook_session_keeps_one_kernel() {
    let server = Server::start().await;
    let body = r#"{"path":"a.ipynb","type":"notebook","name":"a","kernel":{"name":"rhai"}}"#;
    let (status, session) = server.json(Method::POST, "/api/sessions", body).await;
    assert_eq!(status, StatusCode::CREATED);
    let path = format!("/api/sessions/{}", session["id"].as_str().unwrap());

    // A second request for the path returns the same session.
    let (_, again) = server.json(Method::POST, "/api/sessions", body).await;
    assert_eq!(again["id"], session["id"]);
    let (_, kernels) = server.json(Method::GET, "/api/kernels", "").await;
    assert_eq!(kernels.as_array().unwrap().len(), 1);

    let renamed = r#"{"path":"b.ipynb"}"#;
    let (status, changed) = server.json(Method::PATCH, &path, renamed).await;
    assert_eq!(
        (status, &changed["path"]),
        (StatusCode::OK, &json!("b.ipynb"))
    );
    assert_eq!(changed["kernel"]["id"], session["kernel"]["id"]);

    // A new kernel replaces the first one, which is shut down.
    let other = r#"{"kernel":{"name":"rhai"}}"#;
    let (_, changed) = server.json(Method::PATCH, &path, other).await;
    assert_ne!(changed["kernel"]["id"], session["kernel"]["id"]);
    let (_, kernels) = server.json(Method::GET, "/api/kernels", "").await;
    assert_eq!(kernels[0]["id"], changed["kernel"]["id"]);
    assert_eq!(kernels.as_array().unwrap().len(), 1);

    let (status, _) = server.json(Method::DELETE, &path, "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (_, kernels) = server.json(Method::GET, "/api/kernels", "").await;
    assert_eq!(kernels, json!([]));
}

#[tokio::test]
async fn notebook_session_without_its_kernel_is_gone() {
    let server = Server::start().await;
    let kernel = server.start_kernel("rhai").await;
    let id = kernel.rsplit('/').next().unwrap();
    let body = json!({"path": "a", "type": "x", "kernel": {"id": id}}).to_string();
    let (_, session) = server.json(Method::POST, "/api/sessions", &body).await;
    assert_eq!(session["kernel"]["id"], id);
    let path = format!("/api/sessions/{}", session["id"].as_str().unwrap());
    server.send(Method::DELETE, &kernel, "").await;
    let (status, _) = server.json(Method::DELETE, &path, "").await;
    assert_eq!(status, StatusCode::GONE);
    let (_, sessions) = server.json(Method::GET, "/api/sessions", "").await;
    assert_eq!(sessions, json!([]));
}

#[tokio::test]
async fn kernelspecs_include_the_default() {
    let server = Server::start().await;
    let (_, specs) = server.json(Method::GET, "/api/kernelspecs", "").await;
    assert_eq!(specs["default"], "rhai");
    assert_eq!(specs["kernelspecs"]["rhai"]["name"], "rhai");
    assert_eq!(specs["kernelspecs"]["rhai"]["spec"]["language"], "rhai");
}

#[tokio::test]
async fn me_returns_the_identity_of_the_caller() {
    let server = Server::start().await;
    let query = "/api/me?permissions=%7B%22kernels%22%3A%5B%22execute%22%5D%7D";
    let (_, me) = server.json(Method::GET, query, "").await;
    assert_eq!(me["identity"]["username"], "owner");
    assert_eq!(me["permissions"], json!({"kernels": ["execute"]}));
    assert_eq!(me["authenticated"]["carrier"], "authorization");
    assert_eq!(me["authenticated"]["scheme"], "token");
}

#[tokio::test]
async fn share_link_admits_a_guest_without_the_share_scope() {
    let server = Server::start().await;
    let (status, share) = server.json(Method::POST, "/api/share", "").await;
    assert_eq!(status, StatusCode::OK);
    let (_, token) = share["url"]
        .as_str()
        .unwrap()
        .split_once("/?token=")
        .unwrap();
    let guest = |method, path| server.send_as(token, method, path, "");
    let me = guest(Method::GET, "/api/me").await;
    let me: Value = serde_json::from_slice(me.body()).unwrap();
    assert_eq!(me["identity"]["username"], share["guest"]);
    let refused = guest(Method::POST, "/api/share").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn logout_removes_the_cookie() {
    let server = Server::start().await;
    let response = server.send(Method::POST, "/logout", "").await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()[header::LOCATION], "/");
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-kernel-server-"), "{cookie}");
    assert!(cookie.contains("Max-Age=0"), "{cookie}");
}

#[tokio::test]
async fn requests_without_a_valid_token_are_refused() {
    let server = Server::start().await;
    for token in ["wrong", ""] {
        for path in [
            "/api/me",
            "/api/kernels",
            "/api/status",
            "/api/nothing-here",
        ] {
            let refused = server.send_as(token, Method::GET, path, "").await;
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
        }
    }
    let version = server.send_as("wrong", Method::GET, "/api", "").await;
    assert_eq!(version.status(), StatusCode::OK);
}

#[tokio::test]
async fn only_the_files_of_the_page_are_served() {
    let server = Server::start().await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/static/app.js", "text/javascript; charset=utf-8"),
        ("/static/style.css", "text/css; charset=utf-8"),
    ] {
        let response = server.send(Method::GET, path, "").await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], content_type);
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(policy.contains("frame-ancestors 'none'"));
    }
    for path in [
        "/static/nope.js",
        "/static/../Cargo.toml",
        "/static/%2e%2e/Cargo.toml",
    ] {
        let response = server.send(Method::GET, path, "").await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
}
