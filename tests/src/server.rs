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

/// One of our servers. When it is dropped it is stopped, and a secret in what it printed fails the
/// test.
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
    /// The kernel server with real Python kernels. It makes its token itself and prints it in the
    /// link.
    pub fn kernels() -> ServerBuilder {
        ServerBuilder::new("kernel-server")
            .argument("--kernel")
            .argument("python3")
    }

    /// The server with every way in. [`token`](Self::token) is alice's.
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

    /// The server of FHIR subscriptions. [`token`](Self::token) is alice's, who may do all there is.
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

    /// The link it printed for a person to open.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Its address, ending in a slash: `http://127.0.0.1:8888/`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same for WebSockets.
    pub fn websocket_base(&self) -> String {
        self.base.replacen("http", "ws", 1)
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        self.base
            .trim_start_matches("http://")
            .trim_end_matches('/')
    }

    /// The token that it accepts.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// All it printed so far.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// A new secret that it must not print either.
    pub fn foreign_secret(&self) -> String {
        let secret = new_secret();
        self.keep_secret(&secret);
        secret
    }

    /// `secret` must not be printed from now on.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets
            .lock()
            .expect("nobody panics with the lock")
            .push(secret.to_owned());
    }

    /// Each line it printed that holds a secret. The link is meant to be seen and does not count.
    pub fn leaks(&self) -> Vec<String> {
        let secrets = self.secrets.lock().expect("nobody panics with the lock");
        let output = self.output().replacen(&self.link, "", 1);
        // A server may print a lot, and hardly ever one.
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
            // Shown by the test harness, since the test has failed.
            println!("--- the server printed\n{}", self.output());
        }
    }
}

/// How a server is to be started.
#[derive(Debug)]
pub struct ServerBuilder {
    command: Command,
    /// The token it is told; without one it makes its own.
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

    /// One more argument of the command line.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Equal today's Jupyter Server.
    #[must_use]
    pub fn compat(self) -> Self {
        self.argument("--profile").argument("compat")
    }

    /// Let pages of `origin` call it.
    #[must_use]
    pub fn allow_origin(self, origin: &str) -> Self {
        self.argument("--allow-origin").argument(origin)
    }

    /// Tell the kernel server its token. Then the link does not have it.
    #[must_use]
    pub fn told(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self.argument("--token").argument(token)
    }

    /// Starts it and waits for the link it prints.
    ///
    /// # Panics
    ///
    /// When it does not start.
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
            .expect("it is told its token or prints one");
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

/// Jupyter's folders in `home`, so that neither the machine's kernels nor its settings matter; the
/// kernelspecs are those of the installed peers.
pub(crate) fn jupyter_folders(command: &mut Command, home: &TempDir) {
    let folder = |name: &str| home.path().join(name);
    command
        .env("JUPYTER_CONFIG_DIR", folder("config"))
        .env("JUPYTER_DATA_DIR", folder("data"))
        .env("JUPYTER_RUNTIME_DIR", folder("runtime"))
        .env("IPYTHONDIR", folder("ipython"))
        .env("JUPYTER_PATH", python_home().join("share/jupyter"));
}

/// The first address in a line.
pub(crate) fn link(line: &str) -> Option<String> {
    let link = &line[line.find("http://127.0.0.1:")?..];
    Some(link.split_whitespace().next()?.to_owned())
}

/// An address, cut before its path.
pub(crate) fn split_origin(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    url.split_at(end)
}

/// Cargo puts a test into `<target>/<profile>/deps` and binaries beside that folder.
fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a running test has a path");
    let folder = test
        .ancestors()
        .nth(2)
        .expect("a test binary lies two folders deep");
    let binary = folder.join(name);
    assert!(
        binary.exists(),
        "{} is missing: `tests/run e2e` builds it",
        binary.display()
    );
    binary
}
