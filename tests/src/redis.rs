//! Redis servers and clusters for tests. Each server is a child process that a test can kill or stop.
//!
//! This file is also a module of the tests of `portcullis-redis`, and imports nothing of this crate.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// A Redis server on loopback that stores what it acknowledges. It ends when the value is dropped.
///
/// `PORTCULLIS_REDIS_SERVER` selects another program than `redis-server`, such as `valkey-server`.
#[derive(Debug)]
pub struct RedisServer {
    port: Port,
    arguments: Vec<String>,
    folder: TempDir,
    child: Option<Child>,
    output: Arc<Mutex<String>>,
}

impl RedisServer {
    /// Starts a server.
    ///
    /// # Panics
    ///
    /// Panics if the program is not installed or does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more arguments, such as `["--maxmemory", "2mb"]`.
    ///
    /// # Panics
    ///
    /// Panics as [`start`](Self::start) does.
    pub fn start_with(arguments: &[&str]) -> Self {
        let mut server = Self {
            port: Port::reserve(),
            arguments: arguments.iter().copied().map(str::to_owned).collect(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            child: None,
            output: Arc::default(),
        };
        server.run();
        server
    }

    /// Returns the program of all servers.
    pub fn program() -> OsString {
        std::env::var_os("PORTCULLIS_REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
    }

    /// Returns the port of the server.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// Kills the server with SIGKILL, so that it cannot save anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the child process exists");
            child.wait().expect("the child process exists");
        }
    }

    /// Shuts the server down with SIGTERM.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_process(pid(&child), Signal::TERM).expect("the child process exists");
            child.wait().expect("the child process exists");
        }
    }

    /// Starts the server again, on the same port and with the same data.
    ///
    /// # Panics
    ///
    /// Panics if it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Stops the server with SIGSTOP: it keeps its connections and does not respond.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues the server with SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Runs a command with `redis-cli` and returns its output.
    ///
    /// # Panics
    ///
    /// Panics if the command fails.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port().to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{}", missing(&"redis-cli", &error)));
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Repeats a command until `is_enough` accepts its output.
    ///
    /// # Panics
    ///
    /// Panics if that takes too long.
    pub fn wait_for(&self, arguments: &[&str], is_enough: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let printed = self.command(arguments);
            if is_enough(&printed) {
                return;
            }
            assert!(Instant::now() < deadline, "{arguments:?}: {printed}");
        }
    }

    /// Returns the output so far.
    pub fn output(&self) -> String {
        self.output.lock().expect(NO_PANIC).clone()
    }

    /// Runs the program and waits until it accepts connections.
    fn run(&mut self) {
        let program = Self::program();
        let mut child = Command::new(&program)
            .args(["--port", &self.port().to_string()])
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .args(["--dir".as_ref(), self.folder.path().as_os_str()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing(&program.display(), &error)));
        let (sender, is_ready) = mpsc::channel();
        let output = Arc::clone(&self.output);
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("Ready to accept connections") {
                    let _ = sender.send(());
                }
                output.lock().expect(NO_PANIC).push_str(&(line + "\n"));
            }
        });
        // The sender is dropped when the server ends.
        let is_ready = is_ready.recv_timeout(LIMIT).is_ok();
        self.child = Some(child);
        assert!(
            is_ready,
            "{} does not start:\n{}",
            program.display(),
            self.output()
        );
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(pid(child), signal).expect("the child process exists");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Redis cluster.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    /// The ports of the cluster bus.
    buses: Vec<Port>,
}

impl RedisCluster {
    /// Starts three servers that share the slots evenly, without replicas.
    ///
    /// # Panics
    ///
    /// Panics as [`RedisServer::start`] does.
    pub fn start() -> Self {
        let (nodes, buses): (Vec<_>, Vec<_>) = (0..3).map(|_| Self::start_node()).unzip();
        for (index, node) in nodes.iter().enumerate() {
            let [first, last] = [index, index + 1].map(|index| index * 16_384 / nodes.len());
            let range = [first.to_string(), (last - 1).to_string()];
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
        }
        let cluster = Self { nodes, buses };
        for node in &cluster.nodes[1..] {
            cluster.introduce(node);
        }
        cluster.wait_until_whole();
        cluster
    }

    /// Starts a replica of one of the servers. It becomes the last of [`nodes`](Self::nodes).
    ///
    /// # Panics
    ///
    /// Panics as [`RedisServer::start`] does.
    pub fn add_replica(&mut self, of: usize) {
        let (replica, bus) = Self::start_node();
        self.introduce(&replica);
        self.nodes.push(replica);
        self.buses.push(bus);
        self.wait_until_whole();
        let primary = self.nodes[of].command(&["CLUSTER", "MYID"]);
        let replica = &self.nodes[self.nodes.len() - 1];
        replica.command(&["CLUSTER", "REPLICATE", &primary]);
        replica.wait_for(&["INFO", "replication"], |info| {
            info.contains("master_link_status:up")
        });
    }

    /// Returns the servers.
    pub fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    /// Returns the servers that are running.
    pub fn running(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|node| node.child.is_some())
    }

    /// Returns the index of the server that has this key.
    ///
    /// # Panics
    ///
    /// Panics if no server has it.
    pub fn owner_of(&self, key: &str) -> usize {
        let has_it = |node: &RedisServer| !node.command(&["EXISTS", key]).contains("MOVED");
        self.nodes.iter().position(has_it).expect("one of them")
    }

    /// Returns the URL of the cluster, which names all servers.
    pub fn url(&self) -> String {
        let nodes = self.nodes.iter();
        let nodes: Vec<_> = nodes
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// Waits until every server knows all slots and all other servers.
    ///
    /// # Panics
    ///
    /// Panics if that takes too long.
    pub fn wait_until_whole(&self) {
        for node in &self.nodes {
            node.wait_for(&["CLUSTER", "INFO"], |info| {
                info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_known_nodes:{}", self.nodes.len()))
                    && info.contains("cluster_slots_ok:16384")
            });
        }
    }

    /// Connects `node` with the first server. The cluster then announces it to the others.
    fn introduce(&self, node: &RedisServer) {
        let bus = self.nodes[0].command(&["CONFIG", "GET", "cluster-port"]);
        let bus = bus.lines().last().expect("name and value");
        let port = self.nodes[0].port().to_string();
        node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
    }

    fn start_node() -> (RedisServer, Port) {
        let bus = Port::reserve();
        let node = RedisServer::start_with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "2000",
            // If one server is down, the slots of the others stay available.
            "--cluster-require-full-coverage",
            "no",
            // A replica can take over even after a long time without its primary.
            "--cluster-replica-validity-factor",
            "0",
            "--cluster-port",
            &bus.number().to_string(),
        ]);
        (node, bus)
    }
}

/// A reserved port of this machine. No other process gets it, even while no server listens on it.
///
/// The port is bound without listening. Connections are refused, and a server can still listen on it,
/// because servers set `SO_REUSEADDR`.
#[derive(Debug)]
pub struct Port(TcpSocket);

impl Port {
    /// Reserves a free port.
    ///
    /// # Panics
    ///
    /// Panics if no port is free.
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option of a socket");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(any).expect("loopback has a free port");
        Self(socket)
    }

    /// Returns the number of the port.
    pub fn number(&self) -> u16 {
        self.0.local_addr().expect("it is bound").port()
    }
}

fn pid(child: &Child) -> Pid {
    let id = i32::try_from(child.id()).expect("a process id");
    Pid::from_raw(id).expect("a process id")
}

fn missing(program: &dyn fmt::Display, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            format!("{program} is not installed: `tests/run install`, or Debian's redis-server")
        }
        _ => format!("{program} does not start: {error}"),
    }
}

const LIMIT: Duration = Duration::from_secs(60);
const NO_PANIC: &str = "no test panics with the lock";
