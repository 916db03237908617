//! Kernel processes that fail. Tests of working kernels need a real one and are end-to-end tests.

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

/// Creates a data folder with one kernelspec, `sh`, that runs this script.
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

/// Waits until a script has written a line to this file.
async fn wait_for_file(file: &Path) -> String {
    loop {
        match fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Waits until a process has ended. A zombie has ended, too.
async fn wait_for_exit(pid: &str) {
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
async fn kernel_is_dead_when_its_process_ends() {
    let folder = kernel_that_runs("while [ ! -e $FOLDER/end ]; do sleep 0.01; done; exit 3");
    let server = Server::start_with_kernels_in(folder.path()).await;
    let kernel = server.start_kernel("sh").await;
    let mut socket = server.connect(&kernel, "a", Format::V1).await;
    let (_, model) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(model["execution_state"], "starting");
    fs::write(folder.path().join("end"), "").unwrap();
    socket.wait_for_state("dead").await;
    let (_, model) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(model["execution_state"], "dead");

    // A restart runs the same script, which fails again.
    let (status, error) = server
        .json(Method::POST, &format!("{kernel}/restart"), "")
        .await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        error["message"],
        "the kernel's process ended: exit status: 3"
    );
    socket.wait_for_state("dead").await;
}

#[tokio::test]
async fn shutdown_removes_a_kernel_that_never_answers() {
    let script = "echo $0 > $FOLDER/connection; sleep 1000 & echo $! > $FOLDER/child; \
        trap '' TERM INT; while true; do sleep 0.05; done";
    let folder = kernel_that_runs(script);
    let server = Server::start_with_kernels_in(folder.path()).await;
    let kernel = server.start_kernel("sh").await;
    let connection = wait_for_file(&folder.path().join("connection")).await;
    let child = wait_for_file(&folder.path().join("child")).await;
    assert!(Path::new(&connection).exists());

    let (status, _) = server.json(Method::DELETE, &kernel, "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    wait_for_exit(&child).await;
    assert!(!Path::new(&connection).exists());
    let (_, kernels) = server.json(Method::GET, "/api/kernels", "").await;
    assert_eq!(kernels, json!([]));
}

#[tokio::test]
async fn child_processes_end_with_the_kernel() {
    let folder = kernel_that_runs("sleep 1000 & echo $! > $FOLDER/child; exit 0");
    let server = Server::start_with_kernels_in(folder.path()).await;
    server.start_kernel("sh").await;
    let child = wait_for_file(&folder.path().join("child")).await;
    wait_for_exit(&child).await;
}

#[tokio::test]
async fn kernels_end_when_the_server_stops() {
    let folder = kernel_that_runs("echo $$ > $FOLDER/kernel; sleep 1000");
    let server = Server::start_with_kernels_in(folder.path()).await;
    server.start_kernel("sh").await;
    let kernel = wait_for_file(&folder.path().join("kernel")).await;
    server.app.stop().await;
    wait_for_exit(&kernel).await;
}

#[tokio::test]
async fn missing_program_is_an_error() {
    let folder = kernel_that_runs("");
    let file = folder.path().join("kernels/sh/kernel.json");
    let json = r#"{"argv":["/no/such/program"],"display_name":"x","language":"x"}"#;
    fs::write(file, json).unwrap();
    let server = Server::start_with_kernels_in(folder.path()).await;
    let (status, _) = server
        .json(Method::POST, "/api/kernels", r#"{"name":"sh"}"#)
        .await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let (_, kernels) = server.json(Method::GET, "/api/kernels", "").await;
    assert_eq!(kernels, json!([]));
}
