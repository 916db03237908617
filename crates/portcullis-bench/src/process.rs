//! Server processes on their own core.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::pin::{SERVER, pin};

/// A server process. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// A folder to remove afterwards.
    folder: Option<TempDir>,
}

impl Server {
    /// Starts `command` on the core of the servers.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// Starts `command` with pipes for its input and output.
    pub(crate) fn start_with_pipes(
        command: &mut Command,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let mut server = Self::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let (input, output) = (server.child.stdin.take(), server.child.stdout.take());
        match (input, output) {
            (Some(input), Some(output)) => Ok((server, input, output)),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        let server = Self {
            child,
            folder: None,
        };
        // Immediately, so that the threads that it starts later inherit the core.
        pin(Some(Pid::from_child(&server.child)), SERVER)?;
        Ok(server)
    }

    /// Removes `folder` after the server has ended.
    pub(crate) fn with_folder(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Reads the first line of its output, which has to be piped.
    pub(crate) fn first_line(&mut self) -> io::Result<String> {
        let output = self.child.stdout.take();
        let mut line = String::new();
        BufReader::new(output.ok_or(io::ErrorKind::BrokenPipe)?).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Sends SIGTERM, and waits for the end of the process.
    pub(crate) fn terminate(mut self) -> io::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.child.wait().map(|_| ())
    }

    /// Returns the CPU time of the process in seconds, including the kernel's.
    pub(crate) fn cpu_seconds(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is a name in parentheses that may contain spaces (proc_pid_stat(5)).
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let mut times = fields.split(' ').skip(11).map(str::parse::<u32>);
        match (times.next(), times.next()) {
            (Some(Ok(user)), Some(Ok(system))) => {
                Ok(f64::from(user + system) / rustix::param::clock_ticks_per_second() as f64)
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Returns whether the process has loaded a library.
    pub(crate) fn has_loaded(&self, library: &str) -> io::Result<bool> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id()))?;
        Ok(maps.lines().any(|line| line.ends_with(library)))
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
