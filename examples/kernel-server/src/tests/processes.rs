//! Kernels that are processes, and go wrong. (Those that go right need a real kernel to talk to.)

use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use rustix::process::{Pid, test_kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use super::client::Server;
use crate::wire::Format;

/// A folder with one kernelspec, `sh`, that runs this script.
fn kernel_that_runs(script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("kernels/sh");
    fs::create_dir_all(&spec).unwrap();
    let json = json!({
        "argv": ["sh", "-c", script, "{connection_file}"],
        "display_name": "A shell",
        "language": "sh",
        "env": {"FOLDER": folder.path()},
    });
    fs::write(spec.join("kernel.json"), json.to_string()).unwrap();
    folder
}

/// Waits for a script to write this file. There is no event for it: the writer is no part of us.
async fn written(file: &Path) -> String {
    loop {
        match fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Waits for a process to be gone; a zombie is, but for the notice that its parent takes of it.
async fn gone(pid: &str) {
    let is_zombie = || {
        let state = fs::read_to_string(format!("/proc/{pid}/stat"));
        state.is_ok_and(|state| state.contains(") Z "))
    };
    let process = Pid::from_raw(pid.parse().unwrap()).unwrap();
    while test_kill_process(process).is_ok() && !is_zombie() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_process_that_ends_is_a_dead_kernel_and_says_so() {
    let folder = kernel_that_runs("while [ ! -e $FOLDER/end ]; do sleep 0.01; done; exit 3");
    let server = Server::with_kernels_of(folder.path()).await;
    let kernel = server.start_kernel("sh").await;
    let mut socket = server.connect(&kernel, "a", Format::V1).await;
    let (_, model) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(model["execution_state"], "starting");
    fs::write(folder.path().join("end"), "").unwrap();
    socket.state("dead").await;
    let (_, model) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(model["execution_state"], "dead");

    // It does not get better by being started again.
    let (status, error) = server
        .json(Method::POST, &format!("{kernel}/restart"), "")
        .await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        error["message"],
        "the kernel's process ended: exit status: 3"
    );
    socket.state("dead").await;
}

#[tokio::test]
async fn nothing_is_left_of_a_kernel_that_never_answers() {
    let script = "echo $0 > $FOLDER/connection; sleep 1000 & echo $! > $FOLDER/child; \
        trap '' TERM INT; while true; do sleep 0.05; done";
    let folder = kernel_that_runs(script);
    let server = Server::with_kernels_of(folder.path()).await;
    let kernel = server.start_kernel("sh").await;
    let connection = written(&folder.path().join("connection")).await;
    let child = written(&folder.path().join("child")).await;
    assert!(Path::new(&connection).exists());

    let (status, _) = server.json(Method::DELETE, &kernel, "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    gone(&child).await;
    assert!(!Path::new(&connection).exists());
    let (_, kernels) = server.json(Method::GET, "/api/kernels", "").await;
    assert_eq!(kernels, json!([]));
}

#[tokio::test]
async fn what_a_dead_kernel_started_dies_with_it() {
    let folder = kernel_that_runs("sleep 1000 & echo $! > $FOLDER/child; exit 0");
    let server = Server::with_kernels_of(folder.path()).await;
    server.start_kernel("sh").await;
    let child = written(&folder.path().join("child")).await;
    gone(&child).await;
}

#[tokio::test]
async fn a_server_that_stops_takes_its_kernels_along() {
    let folder = kernel_that_runs("echo $$ > $FOLDER/kernel; sleep 1000");
    let server = Server::with_kernels_of(folder.path()).await;
    server.start_kernel("sh").await;
    let kernel = written(&folder.path().join("kernel")).await;
    server.app.stop().await;
    gone(&kernel).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let folder = kernel_that_runs("");
    let file = folder.path().join("kernels/sh/kernel.json");
    let json = r#"{"argv":["/no/such/program"],"display_name":"x","language":"x"}"#;
    fs::write(file, json).unwrap();
    let server = Server::with_kernels_of(folder.path()).await;
    let (status, _) = server
        .json(Method::POST, "/api/kernels", r#"{"name":"sh"}"#)
        .await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let (_, kernels) = server.json(Method::GET, "/api/kernels", "").await;
    assert_eq!(kernels, json!([]));
}
