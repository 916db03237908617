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

/// Longer than the limit in the drivers, which report more.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the Node driver `tests/peers/<script>` and returns the JSON it printed.
///
/// # Errors
///
/// Returns the output of the driver if its exit status is not 0.
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
/// Returns the output of the driver if its exit status is not 0.
pub async fn python(script: &str, arguments: &[&str], input: &Value) -> Result<Value, String> {
    let mut command = Command::new(python_home().join("bin/python"));
    command.arg(driver(script)).args(arguments);
    run(command, input).await
}

/// Bundles `tests/peers/page.cjs` and the npm packages it needs into one script for a browser.
///
/// # Panics
///
/// Panics if esbuild fails.
pub fn bundle() -> &'static str {
    static BUNDLE: OnceLock<String> = OnceLock::new();
    BUNDLE.get_or_init(|| {
        let output = std::process::Command::new("node")
            .arg(npm_home().join("node_modules/.bin/esbuild"))
            .arg(driver("page.cjs"))
            .args(["--bundle", "--format=iife", "--minify", "--log-level=error"])
            .env("NODE_PATH", npm_home().join("node_modules"))
            .output()
            .expect("node is installed");
        assert!(
            output.status.success(),
            "esbuild: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("esbuild writes ASCII")
    })
}

/// Returns the Python environment, which contains `bin` and, in `share`, the kernelspecs.
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
        "{} is missing: run `tests/run install`",
        home.display()
    );
    home
}

/// Returns the same folder as `tests/run` uses.
fn cache() -> PathBuf {
    let variable = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("PORTCULLIS_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("portcullis")))
        .or_else(|| Some(variable("HOME")?.join(".cache/portcullis")))
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
    // A driver that needs no input can end without reading it.
    let _ = stdin.write_all(input.to_string().as_bytes()).await;
    drop(stdin);
    let output = timeout(LIMIT, child.wait_with_output())
        .await
        .map_err(|_| describe(&name, "took too long"))?
        .map_err(|error| describe(&name, &error.to_string()))?;
    outcome(&output).ok_or_else(|| describe(&name, &report(&output)))
}

/// Returns the last line that a driver printed, if it succeeded.
fn outcome(output: &Output) -> Option<Value> {
    let printed = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| serde_json::from_str(printed.lines().last()?).ok())
        .flatten()
}

fn report(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    format!("{}\n{out}\n{err}", output.status)
}

fn describe(name: &OsStr, what: &str) -> String {
    format!("{}: {what}", name.display())
}
