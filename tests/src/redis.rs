//! Redis for tests: servers and clusters, each a child process that a test can kill and stop.
//!
//! It knows nothing else of this crate, since the tests of `portcullis-redis` include the file as it
//! is.

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

/// A Redis server of one's own, on loopback, that keeps what it acknowledges. It ends with the value.
///
/// `PORTCULLIS_REDIS_SERVER` names another program than `redis-server`, such as `valkey-server`.
#[derive(Debug)]
pub struct RedisServer {
    port: Port,
    arguments: Vec<String>,
    folder: TempDir,
    child: Option<Child>,
    output: Arc<Mutex<String>>,
}

impl RedisServer {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// When there is no such program, or it does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments, such as `["--maxmemory", "2mb"]`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
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

    /// The program that runs.
    pub fn program() -> OsString {
        std::env::var_os("PORTCULLIS_REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// Kills it (SIGKILL). It has no time to write anything down.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
        }
    }

    /// Ends it in good order (SIGTERM).
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_process(pid(&child), Signal::TERM).expect("a child of ours");
            child.wait().expect("a child of ours");
        }
    }

    /// Starts it again, on the same port and with the same data.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Stops it where it stands (SIGSTOP): it keeps its connections and says nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// What `redis-cli` prints for a command.
    ///
    /// # Panics
    ///
    /// When it fails.
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

    /// Repeats a command until `is_enough` of what it prints.
    ///
    /// # Panics
    ///
    /// When that does not come.
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

    /// All it printed so far.
    pub fn output(&self) -> String {
        self.output.lock().expect(NOBODY_PANICS).clone()
    }

    /// Runs it, and waits until it accepts connections.
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
                output.lock().expect(NOBODY_PANICS).push_str(&(line + "\n"));
            }
        });
        // The sender is gone once the server is.
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
        kill_process(pid(child), signal).expect("a child of ours");
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
    /// Where the nodes talk among themselves.
    buses: Vec<Port>,
}

impl RedisCluster {
    /// Starts three servers that share the slots evenly, without replicas.
    ///
    /// # Panics
    ///
    /// As [`RedisServer::start`].
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

    /// Starts a replica of one of the servers. It comes last in [`nodes`](Self::nodes).
    ///
    /// # Panics
    ///
    /// As [`RedisServer::start`].
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

    /// Its servers.
    pub fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    /// Those that run.
    pub fn running(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|node| node.child.is_some())
    }

    /// Which server has this key.
    ///
    /// # Panics
    ///
    /// When it does not know.
    pub fn owner_of(&self, key: &str) -> usize {
        let has_it = |node: &RedisServer| !node.command(&["EXISTS", key]).contains("MOVED");
        self.nodes.iter().position(has_it).expect("one of them")
    }

    /// Its URL, which names all servers.
    pub fn url(&self) -> String {
        let nodes = self.nodes.iter();
        let nodes: Vec<_> = nodes
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// Waits until every server knows of every slot and of every other server.
    ///
    /// # Panics
    ///
    /// When that does not come.
    pub fn wait_until_whole(&self) {
        for node in &self.nodes {
            node.wait_for(&["CLUSTER", "INFO"], |info| {
                info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_known_nodes:{}", self.nodes.len()))
                    && info.contains("cluster_slots_ok:16384")
            });
        }
    }

    /// Tells `node` of the first one. The others get to know it by themselves.
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
            // One that is down takes down its own slots, not those of the others.
            "--cluster-require-full-coverage",
            "no",
            // However long a replica has been alone: a test says when it takes over.
            "--cluster-replica-validity-factor",
            "0",
            "--cluster-port",
            &bus.number().to_string(),
        ]);
        (node, bus)
    }
}

/// A port of this machine that nobody else is given, also while no server has it.
///
/// It is bound, and nobody listens: so connections are refused, and a server that says which port it
/// wants, with `SO_REUSEADDR` as they all do, gets it.
#[derive(Debug)]
pub struct Port(TcpSocket);

impl Port {
    /// Reserves any that is free.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option of a socket");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(any).expect("loopback has a free port");
        Self(socket)
    }

    /// Its number.
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
const NOBODY_PANICS: &str = "nobody panics with the lock";
