use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::peer::python_home;
use crate::server::{Server, jupyter_folders, link, split_origin};
use crate::{Process, new_secret};

const START: Duration = Duration::from_secs(60);

/// A released `jupyter server`.
#[derive(Debug)]
pub struct JupyterServer {
    base: String,
    token: String,
    _process: Process,
    _home: TempDir,
}

impl JupyterServer {
    /// Starts a server with its own kernels.
    pub fn start() -> Self {
        Self::run(&[], &[])
    }

    /// Starts a server that forwards each request and each socket to `server`, as a gateway client.
    pub fn in_front_of(server: &Server) -> Self {
        Self::run(
            &[&format!(
                "--gateway-url={}",
                server.base().trim_end_matches('/')
            )],
            &[("JUPYTER_GATEWAY_AUTH_TOKEN", server.token())],
        )
    }

    /// Returns the address, which ends in a slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns the token that the server accepts.
    pub fn token(&self) -> &str {
        &self.token
    }

    fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let token = new_secret();
        let mut command = Command::new(python_home().join("bin/jupyter-server"));
        command
            .args(["--allow-root", "--no-browser", "--ip=127.0.0.1", "--port=0"])
            .arg(format!("--ServerApp.root_dir={}", home.path().display()))
            .arg(format!("--IdentityProvider.token={token}"))
            .args(arguments)
            .envs(environment.iter().copied());
        jupyter_folders(&mut command, &home);
        let process = Process::start(&mut command);
        let link = process.wait_for_line(START, link);
        let (origin, _) = split_origin(&link);
        wait_until_it_listens(origin.trim_start_matches("http://"));
        Self {
            base: format!("{origin}/"),
            token,
            _process: process,
            _home: home,
        }
    }
}

/// The server prints its address before it listens, and nothing afterwards. So this tries to connect.
fn wait_until_it_listens(authority: &str) {
    let deadline = Instant::now() + START;
    while let Err(error) = TcpStream::connect(authority) {
        assert!(
            Instant::now() < deadline,
            "jupyter server does not listen: {error}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
