//! Cells of the embedded kernel.

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::client::Server;
use crate::wire::{Channel, Format};

const FORMATS: [Format; 2] = [Format::V1, Format::Legacy];

#[tokio::test]
async fn cells_run_in_both_formats() {
    let server = Server::start().await;
    for format in FORMATS {
        let (_, mut socket) = server.connect_to_new_kernel(format).await;
        let info = socket.request("kernel_info_request", json!({})).await.reply;
        assert_eq!(info["language_info"]["name"], "rhai");

        let cell = socket.run("print(6 * 7); print(\"ü\"); 6 * 7").await;
        assert_eq!(cell.reply["status"], "ok");
        assert_eq!(cell.printed(), "42\nü\n");
        assert_eq!(cell.one("execute_input")["execution_count"], 1);
        assert_eq!(cell.one("execute_result")["data"]["text/plain"], "42");

        let silent = json!({"code": "1", "silent": true});
        let silent = socket.request("execute_request", silent).await;
        assert_eq!(silent.all("execute_result").len(), 0);
        assert_eq!(silent.reply["execution_count"], 1);
    }
}

#[tokio::test]
async fn variables_and_functions_are_kept_between_cells() {
    let server = Server::start().await;
    let (_, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    socket.run("let x = 20; fn twice(n) { n * 2 }").await;
    let cell = socket.run("twice(x) + 2").await;
    assert_eq!(cell.one("execute_result")["data"]["text/plain"], "42");
    socket.run("fn twice(n) { n * 3 }").await;
    let cell = socket.run("twice(1)").await;
    assert_eq!(cell.one("execute_result")["data"]["text/plain"], "3");
}

#[tokio::test]
async fn output_is_streamed_while_the_cell_runs() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    let id = socket.begin("print(\"first\"); loop { }").await;
    socket.wait_for("stream").await;
    let interrupt = format!("{kernel}/interrupt");
    server.send(Method::POST, &interrupt, "").await;
    assert_eq!(socket.outcome(&id).await.reply["ename"], "Interrupted");
}

#[tokio::test]
async fn html_and_images_are_displayed() {
    let server = Server::start().await;
    let (_, mut socket) = server.connect_to_new_kernel(Format::V1).await;

    let html = socket.run("html(\"<b>bold</b>\")").await;
    let data = &html.one("display_data")["data"];
    assert_eq!(data["text/html"], "<b>bold</b>");

    let image = socket
        .run("png(3, 2, |x, y| if x == y { 0xff8000 } else { 0 })")
        .await;
    let data = &image.one("display_data")["data"];
    let file = STANDARD
        .decode(data["image/png"].as_str().unwrap())
        .unwrap();
    let mut image = png::Decoder::new(std::io::Cursor::new(file))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; 3 * 2 * 3];
    image.next_frame(&mut pixels).unwrap();
    assert_eq!(pixels[..6], [0xff, 0x80, 0, 0, 0, 0]);
    assert_eq!(pixels[9..], [0, 0, 0, 0xff, 0x80, 0, 0, 0, 0]);

    let error = socket.run("png(0, 2000, |x, y| 0)").await;
    assert_eq!(error.reply["status"], "error");
}

#[tokio::test]
async fn queued_cells_are_aborted_after_an_error() {
    let server = Server::start().await;
    let (_, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    let first = socket.begin("loop { }").await;
    let second = socket.begin("1").await;
    let info = socket
        .send(Channel::Shell, "kernel_info_request", json!({}))
        .await;
    // Messages of one client stay in order, so both requests are queued before the interrupt.
    socket.wait_for("execute_input").await;
    socket
        .send(Channel::Control, "interrupt_request", json!({}))
        .await;
    assert_eq!(socket.outcome(&first).await.reply["status"], "error");
    assert_eq!(socket.outcome(&second).await.reply["status"], "aborted");
    assert_eq!(socket.outcome(&info).await.reply["status"], "ok");
}

#[tokio::test]
async fn errors_have_a_name_and_a_position() {
    let server = Server::start().await;
    let (_, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    let error = socket.run("let x = 1;\n\nx + y").await;
    assert_eq!(error.reply["status"], "error");
    assert_eq!(error.reply["ename"], "VariableNotFoundError");
    let traceback = error.one("error")["traceback"].as_array().unwrap();
    assert_eq!(traceback[1], "3 | x + y\n  |     ^");

    for (code, name) in [
        ("let", "SyntaxError"),
        ("throw \"up\"", "RuntimeError"),
        ("1 / 0", "ArithmeticError"),
        ("fn f() { f() } f()", "StackOverflowError"),
        ("let s = \"x\"; loop { s += s; }", "DataTooLargeError"),
        ("import \"file\" as f;", "ModuleNotFoundError"),
    ] {
        assert_eq!(socket.run(code).await.reply["ename"], name, "{code}");
    }
    assert_eq!(socket.run("x").await.reply["status"], "ok");
}

#[tokio::test]
async fn running_cells_can_be_interrupted() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    for code in [
        "loop { }",
        "sleep(1000000)",
        "sleep(1e6)",
        "png(1024, 1024, |x, y| loop { })",
    ] {
        let id = socket.begin(code).await;
        socket.wait_for("execute_input").await;
        let interrupt = format!("{kernel}/interrupt");
        let (status, _) = server.json(Method::POST, &interrupt, "").await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        let outcome = socket.outcome(&id).await;
        assert_eq!(outcome.reply["ename"], "Interrupted", "{code}");
    }
    // A message on `control` is handled while the cell runs.
    let id = socket.begin("loop { }").await;
    socket.wait_for("execute_input").await;
    let control = socket
        .send(Channel::Control, "interrupt_request", json!({}))
        .await;
    assert_eq!(socket.outcome(&control).await.reply["status"], "ok");
    assert_eq!(socket.outcome(&id).await.reply["ename"], "Interrupted");
}

#[tokio::test]
async fn restart_clears_the_state_and_keeps_the_sockets() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    socket.run("let x = 1;").await;
    let restart = format!("{kernel}/restart");
    let (status, model) = server.json(Method::POST, &restart, "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(kernel.ends_with(model["id"].as_str().unwrap()));
    socket.wait_for_state("restarting").await;
    let cell = socket.run("x").await;
    assert_eq!(cell.reply["ename"], "VariableNotFoundError");
    assert_eq!(cell.reply["execution_count"], 1);
}

#[tokio::test]
async fn restart_ends_a_running_cell() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    socket.begin("loop { }").await;
    socket.wait_for("execute_input").await;
    let restart = format!("{kernel}/restart");
    let (status, _) = server.json(Method::POST, &restart, "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(socket.run("1").await.reply["status"], "ok");
}

#[tokio::test]
async fn kernel_is_dead_between_shutdown_request_and_restart() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    let request = json!({"restart": false});
    socket
        .send(Channel::Control, "shutdown_request", request)
        .await;
    socket.wait_for_state("dead").await;
    let (_, model) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(model["execution_state"], "dead");
    let interrupt = format!("{kernel}/interrupt");
    let (status, _) = server.json(Method::POST, &interrupt, "").await;
    assert_eq!(status, StatusCode::CONFLICT);

    let restart = format!("{kernel}/restart");
    let (status, model) = server.json(Method::POST, &restart, "").await;
    assert_eq!(
        (status, model["execution_state"].as_str()),
        (StatusCode::OK, Some("idle"))
    );
    assert_eq!(socket.run("1").await.reply["status"], "ok");
}

#[tokio::test]
async fn completion_and_other_requests_are_answered() {
    let server = Server::start().await;
    let (_, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    socket.run("let length = 1; fn lengthen() { }").await;
    let complete = json!({"code": "ü + len", "cursor_pos": 7});
    let reply = socket.request("complete_request", complete).await.reply;
    assert_eq!(reply["matches"], json!(["length", "lengthen"]));
    assert_eq!(
        (reply["cursor_start"].as_u64(), reply["cursor_end"].as_u64()),
        (Some(4), Some(7))
    );

    for (code, status) in [
        ("1 + 1", "complete"),
        ("if true {", "incomplete"),
        ("f(1,\n", "incomplete"),
        ("let x =", "incomplete"),
        ("let x = ) +\n1", "invalid"),
        (")", "invalid"),
    ] {
        let reply = socket
            .request("is_complete_request", json!({ "code": code }))
            .await
            .reply;
        assert_eq!(reply["status"], status, "{code}");
    }
    for request in ["inspect", "history", "comm_info"] {
        let reply = socket
            .request(&format!("{request}_request"), json!({}))
            .await
            .reply;
        assert_eq!(reply["status"], "ok", "{request}");
    }
}
