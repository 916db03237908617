//! Cells of the embedded kernel.

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::client::Server;
use crate::wire::{Channel, Format};

const FORMATS: [Format; 2] = [Format::V1, Format::Legacy];

#[tokio::test]
async fn a_cell_runs_in_either_format() {
    let server = Server::start().await;
    for format in FORMATS {
        let (_, mut socket) = server.kernel(format).await;
        let info = socket.ask("kernel_info_request", json!({})).await.reply;
        assert_eq!(info["language_info"]["name"], "rhai");

        let cell = socket.run("print(6 * 7); print(\"ü\"); 6 * 7").await;
        assert_eq!(cell.reply["status"], "ok");
        assert_eq!(cell.printed(), "42\nü\n");
        assert_eq!(cell.one("execute_input")["execution_count"], 1);
        assert_eq!(cell.one("execute_result")["data"]["text/plain"], "42");

        let silent = json!({"code": "1", "silent": true});
        let silent = socket.ask("execute_request", silent).await;
        assert_eq!(silent.all("execute_result").len(), 0);
        assert_eq!(silent.reply["execution_count"], 1);
    }
}

#[tokio::test]
async fn what_a_cell_leaves_the_next_one_finds() {
    let server = Server::start().await;
    let (_, mut socket) = server.kernel(Format::V1).await;
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
    let (kernel, mut socket) = server.kernel(Format::V1).await;
    let id = socket.begin("print(\"first\"); loop { }").await;
    socket.wait_for("stream").await;
    let interrupt = format!("{kernel}/interrupt");
    server.send(Method::POST, &interrupt, "").await;
    assert_eq!(socket.outcome(&id).await.reply["ename"], "Interrupted");
}

#[tokio::test]
async fn html_and_images_are_shown() {
    let server = Server::start().await;
    let (_, mut socket) = server.kernel(Format::V1).await;

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
async fn after_an_error_the_cells_behind_it_do_not_run() {
    let server = Server::start().await;
    let (_, mut socket) = server.kernel(Format::V1).await;
    let first = socket.begin("loop { }").await;
    let second = socket.begin("1").await;
    let info = socket
        .send(Channel::Shell, "kernel_info_request", json!({}))
        .await;
    // What one client sends stays in order, so the two wait by the time the first is interrupted.
    socket.wait_for("execute_input").await;
    socket
        .send(Channel::Control, "interrupt_request", json!({}))
        .await;
    assert_eq!(socket.outcome(&first).await.reply["status"], "error");
    assert_eq!(socket.outcome(&second).await.reply["status"], "aborted");
    assert_eq!(socket.outcome(&info).await.reply["status"], "ok");
}

#[tokio::test]
async fn an_error_has_a_name_and_shows_its_place() {
    let server = Server::start().await;
    let (_, mut socket) = server.kernel(Format::V1).await;
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
async fn a_cell_is_interrupted_whatever_it_does() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.kernel(Format::V1).await;
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
    // The same by a message, which finds its way past the cell that runs.
    let id = socket.begin("loop { }").await;
    socket.wait_for("execute_input").await;
    let control = socket
        .send(Channel::Control, "interrupt_request", json!({}))
        .await;
    assert_eq!(socket.outcome(&control).await.reply["status"], "ok");
    assert_eq!(socket.outcome(&id).await.reply["ename"], "Interrupted");
}

#[tokio::test]
async fn a_restart_forgets_everything_and_keeps_the_sockets() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.kernel(Format::V1).await;
    socket.run("let x = 1;").await;
    let restart = format!("{kernel}/restart");
    let (status, model) = server.json(Method::POST, &restart, "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(kernel.ends_with(model["id"].as_str().unwrap()));
    socket.state("restarting").await;
    let cell = socket.run("x").await;
    assert_eq!(cell.reply["ename"], "VariableNotFoundError");
    assert_eq!(cell.reply["execution_count"], 1);
}

#[tokio::test]
async fn a_restart_ends_a_cell_that_runs() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.kernel(Format::V1).await;
    socket.begin("loop { }").await;
    socket.wait_for("execute_input").await;
    let restart = format!("{kernel}/restart");
    let (status, _) = server.json(Method::POST, &restart, "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(socket.run("1").await.reply["status"], "ok");
}

#[tokio::test]
async fn a_kernel_that_is_told_to_end_is_dead_until_it_is_restarted() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.kernel(Format::V1).await;
    let request = json!({"restart": false});
    socket
        .send(Channel::Control, "shutdown_request", request)
        .await;
    socket.state("dead").await;
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
async fn the_smaller_requests_are_answered() {
    let server = Server::start().await;
    let (_, mut socket) = server.kernel(Format::V1).await;
    socket.run("let length = 1; fn lengthen() { }").await;
    let complete = json!({"code": "ü + len", "cursor_pos": 7});
    let reply = socket.ask("complete_request", complete).await.reply;
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
            .ask("is_complete_request", json!({ "code": code }))
            .await
            .reply;
        assert_eq!(reply["status"], status, "{code}");
    }
    for request in ["inspect", "history", "comm_info"] {
        let reply = socket
            .ask(&format!("{request}_request"), json!({}))
            .await
            .reply;
        assert_eq!(reply["status"], "ok", "{request}");
    }
}
