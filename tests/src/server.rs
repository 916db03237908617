use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::peer::python_home;
use crate::process::path_with;
use crate::{Process, leaks, new_secret};

const START: Duration = Duration::from_secs(60);

/// A server of `examples/`. On drop it is stopped, and the test fails if it printed a secret.
#[derive(Debug)]
pub struct Server {
    process: Process,
    link: String,
    base: String,
    token: String,
    secrets: Mutex<Vec<String>>,
    _home: TempDir,
}

impl Server {
    /// Configures the kernel server with Python kernels. It creates its token and prints it in the
    /// link.
    pub fn kernels() -> ServerBuilder {
        ServerBuilder::new("kernel-server")
            .argument("--kernel")
            .argument("python3")
    }

    /// Configures the server with every carrier and dialect. [`token`](Self::token) is the token of
    /// alice.
    pub fn transports() -> ServerBuilder {
        let token = new_secret();
        let user = format!("alice={token}");
        ServerBuilder {
            token: Some(token),
            ..ServerBuilder::new("transports")
        }
        .argument("--user")
        .argument(&user)
    }

    /// Configures the server of FHIR subscriptions. [`token`](Self::token) is the token of alice, with
    /// all scopes.
    pub fn fhir() -> ServerBuilder {
        let token = new_secret();
        let user = format!("alice={token}:fhircast/*.read,fhircast/*.write");
        ServerBuilder {
            token: Some(token),
            ..ServerBuilder::new("fhir-subscriptions")
        }
        .argument("--user")
        .argument(&user)
    }

    /// Returns the login link that the server printed.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Returns the address, which ends in a slash: `http://127.0.0.1:8888/`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns the address for WebSockets: `ws://127.0.0.1:8888/`.
    pub fn websocket_base(&self) -> String {
        self.base.replacen("http", "ws", 1)
    }

    /// Returns the host and the port.
    pub fn authority(&self) -> &str {
        self.base
            .trim_start_matches("http://")
            .trim_end_matches('/')
    }

    /// Returns a token that the server accepts.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns the process of the server.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Returns the lines that the server has printed so far.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Creates a secret that the server does not know, and must not print.
    pub fn unknown_secret(&self) -> String {
        let secret = new_secret();
        self.keep_secret(&secret);
        secret
    }

    /// Adds a secret that the server must not print.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets
            .lock()
            .expect("no test panics with the lock")
            .push(secret.to_owned());
    }

    /// Returns the printed lines that contain a secret, except the login link.
    pub fn leaks(&self) -> Vec<String> {
        let secrets = self.secrets.lock().expect("no test panics with the lock");
        let output = self.output().replacen(&self.link, "", 1);
        // One search of the whole output is fast, and usually finds nothing.
        if leaks(&output, &secrets).is_empty() {
            return Vec::new();
        }
        output
            .lines()
            .filter(|l| !leaks(l, &secrets).is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.end();
        if !thread::panicking() {
            let leaks = self.leaks();
            assert!(
                leaks.is_empty(),
                "the server printed a secret:\n{}",
                leaks.join("\n")
            );
        } else {
            // The test harness shows this, because the test has failed.
            println!("--- the server printed\n{}", self.output());
        }
    }
}

/// The command line of a server.
#[derive(Debug)]
pub struct ServerBuilder {
    command: Command,
    /// The token in the arguments. Without one, the server creates a token.
    token: Option<String>,
    home: TempDir,
}

impl ServerBuilder {
    fn new(program: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(binary(program));
        command
            .args(["--port", "0"])
            .current_dir(home.path())
            .env_remove("JUPYTER_TOKEN")
            .env_remove("JUPYTER_TOKEN_FILE")
            .env("RUST_LOG", "trace")
            .env("NO_COLOR", "1")
            .env("PATH", path_with(&python_home().join("bin")));
        jupyter_folders(&mut command, &home);
        Self {
            command,
            token: None,
            home,
        }
    }

    /// Adds an argument to the command line.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Selects the profile that behaves as Jupyter Server does.
    #[must_use]
    pub fn compat(self) -> Self {
        self.argument("--profile").argument("compat")
    }

    /// Allows pages of `origin`.
    #[must_use]
    pub fn allow_origin(self, origin: &str) -> Self {
        self.argument("--allow-origin").argument(origin)
    }

    /// Sets the token of the kernel server. The link does not contain it.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self.argument("--token").argument(token)
    }

    /// Starts the server and waits until it prints its link.
    ///
    /// # Panics
    ///
    /// Panics if it does not start.
    pub fn start(mut self) -> Server {
        let process = Process::start(&mut self.command);
        let link = process.wait_for_line(START, link);
        let (origin, path) = split_origin(&link);
        let printed = path
            .split_once("?token=")
            .map(|(_, token)| token.to_owned());
        let token = self
            .token
            .or(printed)
            .expect("the token is an argument or is printed");
        Server {
            base: format!("{origin}/"),
            secrets: Mutex::new(vec![token.clone()]),
            process,
            link,
            token,
            _home: self.home,
        }
    }
}

/// Puts the folders of Jupyter into `home`, so that the kernels and settings of this machine are not
/// used. The kernelspecs are those of the installed peers.
pub(crate) fn jupyter_folders(command: &mut Command, home: &TempDir) {
    let folder = |name: &str| home.path().join(name);
    command
        .env("JUPYTER_CONFIG_DIR", folder("config"))
        .env("JUPYTER_DATA_DIR", folder("data"))
        .env("JUPYTER_RUNTIME_DIR", folder("runtime"))
        .env("IPYTHONDIR", folder("ipython"))
        .env("JUPYTER_PATH", python_home().join("share/jupyter"));
}

/// Returns the first address in a line.
pub(crate) fn link(line: &str) -> Option<String> {
    let link = &line[line.find("http://127.0.0.1:")?..];
    Some(link.split_whitespace().next()?.to_owned())
}

/// Splits an address before its path.
pub(crate) fn split_origin(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    url.split_at(end)
}

/// Returns the path of a binary. Cargo puts tests into `<target>/<profile>/deps` and binaries next to
/// that folder.
fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a running test has a path");
    let folder = test
        .ancestors()
        .nth(2)
        .expect("a test binary is two folders below the target folder");
    let binary = folder.join(name);
    assert!(
        binary.exists(),
        "{} is missing: `tests/run e2e` builds it",
        binary.display()
    );
    binary
}
