use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::process::path_with;

/// Longer than the drivers' own limit, which says more.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the Node driver `tests/peers/<script>` and returns the JSON it printed.
///
/// # Errors
///
/// What it printed, when it did not exit with 0.
pub async fn node(script: &str, arguments: &[&str]) -> Result<Value, String> {
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", npm_home().join("node_modules"))
        .arg(driver(script))
        .args(arguments);
    run(command, &Value::Null).await
}

/// Runs the Python driver `tests/peers/<script>` with `input` as JSON on its standard input, and
/// returns the JSON it printed.
///
/// # Errors
///
/// What it printed, when it did not exit with 0.
pub async fn python(script: &str, arguments: &[&str], input: &Value) -> Result<Value, String> {
    let mut command = Command::new(python_home().join("bin/python"));
    command.arg(driver(script)).args(arguments);
    run(command, input).await
}

/// `tests/peers/page.cjs` and the npm packages it needs, as one script for a browser.
///
/// # Panics
///
/// When esbuild fails.
pub fn bundle() -> &'static str {
    static BUNDLE: OnceLock<String> = OnceLock::new();
    BUNDLE.get_or_init(|| {
        let made = std::process::Command::new("node")
            .arg(npm_home().join("node_modules/.bin/esbuild"))
            .arg(driver("page.cjs"))
            .args(["--bundle", "--format=iife", "--minify", "--log-level=error"])
            .env("NODE_PATH", npm_home().join("node_modules"))
            .output()
            .expect("node is installed");
        assert!(
            made.status.success(),
            "esbuild: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        String::from_utf8(made.stdout).expect("esbuild writes ASCII")
    })
}

/// The Python environment, with its `bin` and the kernelspecs in its `share`.
pub(crate) fn python_home() -> PathBuf {
    installed("python")
}

fn npm_home() -> PathBuf {
    installed("npm")
}

fn installed(peers: &str) -> PathBuf {
    let home = cache().join("peers").join(peers);
    let stamp = home.join(".stamp");
    assert!(
        stamp.exists(),
        "{} is missing: `tests/run install` puts it there",
        home.display()
    );
    home
}

/// As `tests/run` has it.
fn cache() -> PathBuf {
    let from = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("PORTCULLIS_CACHE")
        .or_else(|| Some(from("XDG_CACHE_HOME")?.join("portcullis")))
        .or_else(|| Some(from("HOME")?.join(".cache/portcullis")))
        .expect("HOME is set")
}

fn driver(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(script)
}

async fn run(mut command: Command, input: &Value) -> Result<Value, String> {
    command
        .env("PATH", path_with(&python_home().join("bin")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let name = command.as_std().get_program().to_os_string();
    let mut child = command
        .spawn()
        .map_err(|error| describe(&name, &error.to_string()))?;
    let mut stdin = child.stdin.take().expect("piped");
    // A driver that needs no input may have ended without reading it.
    let _ = stdin.write_all(input.to_string().as_bytes()).await;
    drop(stdin);
    let output = timeout(LIMIT, child.wait_with_output())
        .await
        .map_err(|_| describe(&name, "took too long"))?
        .map_err(|error| describe(&name, &error.to_string()))?;
    outcome(&output).ok_or_else(|| describe(&name, &everything(&output)))
}

/// The last line of what a driver printed, if it succeeded.
fn outcome(output: &Output) -> Option<Value> {
    let printed = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| serde_json::from_str(printed.lines().last()?).ok())
        .flatten()
}

fn everything(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    format!("{}\n{out}\n{err}", output.status)
}

fn describe(name: &OsStr, what: &str) -> String {
    format!("{}: {what}", name.display())
}
