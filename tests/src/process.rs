use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::new_secret;

/// An environment variable that marks all descendants of a process.
const MARK: &str = "PORTCULLIS_TEST_MARK";

/// A child process with its output. It ends, with all its descendants, when the value is dropped.
pub struct Process {
    name: String,
    pid: Pid,
    mark: String,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    exit: Receiver<ExitStatus>,
    exited: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` and records its output.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mark = new_secret();
        let mut child = command
            .env(MARK, &mark)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = Arc::new(Output::default());
        let readers = vec![
            read(child.stdout.take().expect("piped"), &output),
            read(child.stderr.take().expect("piped"), &output),
        ];
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a child's id");
        Self {
            name,
            pid,
            mark,
            output,
            readers,
            exit: wait(child),
            exited: None,
        }
    }

    /// Waits for the first line, past or future, for which `pick` returns a value.
    ///
    /// # Panics
    ///
    /// Panics if the process closes its output, or `limit` passes, without such a line.
    pub fn wait_for_line<T>(&self, limit: Duration, pick: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        let mut state = self.output.state.lock().expect("no reader panics");
        let mut seen = 0;
        loop {
            if let Some(found) = state.lines[seen..].iter().find_map(|line| pick(line)) {
                return found;
            }
            seen = state.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed == 2 || left.is_zero() {
                let what = if state.closed == 2 {
                    "ended"
                } else {
                    "took too long"
                };
                drop(state);
                panic!(
                    "{} {what} before the expected line:\n{}",
                    self.name,
                    self.output()
                );
            }
            state = self
                .output
                .changed
                .wait_timeout(state, left)
                .expect("no reader panics")
                .0;
        }
    }

    /// Returns the lines printed so far, of both streams in the order of arrival.
    pub fn output(&self) -> String {
        self.output
            .state
            .lock()
            .expect("no reader panics")
            .lines
            .join("\n")
    }

    /// Returns the running descendants, such as the kernels of a server or the tabs of a browser.
    /// Orphans are included.
    pub fn descendants(&self) -> Vec<Pid> {
        let mark = format!("{MARK}={}", self.mark).into_bytes();
        let all = fs::read_dir("/proc").expect("Linux has /proc");
        all.filter_map(|entry| {
            let pid = Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)?;
            let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).ok()?;
            let marked = environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark);
            (pid != self.pid && marked).then_some(pid)
        })
        .collect()
    }

    /// Sends `signal` and waits until the process has ended.
    ///
    /// # Panics
    ///
    /// Panics if it has not ended after `limit`.
    pub fn stop(&mut self, signal: Signal, limit: Duration) -> ExitStatus {
        self.signal(signal);
        let status = self.wait(limit);
        status.unwrap_or_else(|| panic!("{} ignores {signal:?}:\n{}", self.name, self.output()))
    }

    /// Waits at most `limit` for the process to end.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.exit.recv_timeout(limit).ok();
        }
        self.exited
    }

    fn signal(&mut self, signal: Signal) {
        if self.wait(Duration::ZERO).is_none() {
            // An error means that it has ended since.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Ends the process and its descendants, and reads the rest of the output.
    pub(crate) fn end(&mut self) {
        self.signal(Signal::TERM);
        if self.wait(Duration::from_secs(10)).is_none() {
            self.signal(Signal::KILL);
        }
        for orphan in self.descendants() {
            let _ = kill_process(orphan, Signal::KILL);
        }
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.name)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// The number of streams, out of two, that have ended.
    closed: usize,
}

fn read(stream: impl Read + Send + 'static, output: &Arc<Output>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            output
                .state
                .lock()
                .expect("no reader panics")
                .lines
                .push(line);
            output.changed.notify_all();
        }
        output.state.lock().expect("no reader panics").closed += 1;
        output.changed.notify_all();
    })
}

fn wait(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, exit) = mpsc::channel();
    thread::spawn(move || {
        if let Ok(status) = child.wait() {
            let _ = sender.send(status);
        }
    });
    exit
}

/// Returns the value of `PATH` with `first` in front.
pub(crate) fn path_with(first: &Path) -> OsString {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(first.to_path_buf()).chain(std::env::split_paths(&rest));
    std::env::join_paths(folders).expect("no folder's name has a colon")
}
