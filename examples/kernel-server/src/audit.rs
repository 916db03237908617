//! The audit log: one line of JSON for each session that is opened, renewed or closed, and for each
//! link that is shared or revoked.
//!
//! It contains no credentials. Tokens are identified by their ids, which do not authenticate.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::SystemTime;

use portcullis::Identity;
use portcullis::session::{Revocation, Revoked, SessionEvent, SessionInfo};
use serde::Serialize;
use serde_json::{Value, json};

use crate::wire::timestamp;

/// How many lines may wait to be written.
const QUEUE: usize = 10_000;

/// Handle to the audit log. The default discards every line. Clones share the same file.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditLog(Option<Arc<Queue>>);

/// The queue of the writer thread. Without the thread, a slow disk would block the async runtime.
#[derive(Debug)]
struct Queue {
    sender: SyncSender<Command>,
    /// How many lines were dropped because the queue was full.
    missed: AtomicU64,
}

enum Command {
    Write(Vec<u8>),
    /// Replies after everything before it is written.
    Flush(SyncSender<()>),
}

impl AuditLog {
    /// Appends to the file at `path`. Creates it, readable only by its owner, if it does not exist.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Self::with_writer(options.open(path)?, QUEUE)
    }

    fn with_writer(writer: impl Write + Send + 'static, queue: usize) -> io::Result<Self> {
        let (sender, commands) = sync_channel(queue);
        let queue = Arc::new(Queue {
            sender,
            missed: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&queue);
        let missed = move || {
            weak.upgrade()
                .map_or(0, |it| it.missed.swap(0, Ordering::Relaxed))
        };
        thread::Builder::new()
            .name("audit".into())
            .spawn(move || write_all(writer, &commands, missed))?;
        Ok(Self(Some(queue)))
    }

    /// Records an event of a session.
    pub(crate) fn session(&self, event: &SessionEvent) {
        let Some(session) = event.session() else {
            return;
        };
        let mut line = SessionLine::new(event.as_str(), session);
        match event {
            // A warning changes nothing, and the session is recorded again when it is closed.
            SessionEvent::Expiring(_) => return,
            SessionEvent::RenewalRefused { why, .. } => line.why = Some(why.to_string()),
            SessionEvent::Closed { cause, lasted, .. } => {
                line.cause = Some(cause.as_str());
                line.lasted_seconds = Some(lasted.as_secs_f64());
            }
            _ => {}
        }
        self.record(&line);
    }

    /// Records that `by` shared a link with `guest`.
    pub(crate) fn shared(&self, by: &Identity, guest: &Identity) {
        self.record(&ActionLine {
            at: timestamp(SystemTime::now()),
            event: "shared",
            by: by.subject(),
            what: json!({ "subject": guest.subject(), "token_id": guest.token_id() }),
        });
    }

    /// Records that `by` revoked something. Call it first, so that the closed sessions follow.
    pub(crate) fn revoked(&self, by: &Identity, revocation: &Revocation) {
        self.record(&ActionLine {
            at: timestamp(SystemTime::now()),
            event: "revoked",
            by: by.subject(),
            what: match revocation.revoked() {
                Revoked::Token(id) => json!({ "token_id": id }),
                Revoked::Subject { subject, .. } => json!({ "subject": subject }),
                Revoked::Session(id) => json!({ "session": id }),
                _ => json!({ "all": true }),
            },
        });
    }

    /// Waits until all lines are written. Call it after the last session has closed.
    pub(crate) fn finish(&self) {
        let Some(queue) = &self.0 else { return };
        let (done, flushed) = sync_channel(1);
        if queue.sender.send(Command::Flush(done)).is_ok() {
            // An error means that the thread has ended, so there is nothing left to write.
            let _ = flushed.recv();
        }
    }

    fn record(&self, line: &impl Serialize) {
        let Some(queue) = &self.0 else { return };
        let Ok(mut line) = serde_json::to_vec(line) else {
            return;
        };
        line.push(b'\n');
        if queue.sender.try_send(Command::Write(line)).is_err() {
            queue.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The line for an event of a session.
#[derive(Serialize)]
struct SessionLine<'a> {
    at: String,
    event: &'static str,
    session: String,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<&'a str>,
    carrier: Option<&'static str>,
    scheme: Option<&'static str>,
    peer: Option<SocketAddr>,
    until: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lasted_seconds: Option<f64>,
}

impl<'a> SessionLine<'a> {
    fn new(event: &'static str, session: &'a SessionInfo) -> Self {
        let proof = session.identity.proof();
        Self {
            at: timestamp(SystemTime::now()),
            event,
            session: session.id.to_string(),
            subject: session.identity.subject(),
            token_id: session.identity.token_id(),
            carrier: proof.map(|proof| proof.carrier.as_str()),
            scheme: proof.map(|proof| proof.scheme.as_str()),
            peer: session.peer,
            until: timestamp(session.deadline),
            why: None,
            cause: None,
            lasted_seconds: None,
        }
    }
}

/// The line for an action of a user.
#[derive(Serialize)]
struct ActionLine<'a> {
    at: String,
    event: &'static str,
    by: &'a str,
    what: Value,
}

/// Runs on the writer thread. Writes each line with one call, so that servers can share a file.
fn write_all(mut writer: impl Write, commands: &Receiver<Command>, missed: impl Fn() -> u64) {
    let mut write = |line: &[u8]| {
        if let Err(error) = writer.write_all(line) {
            tracing::error!(%error, "cannot write a line of the audit log");
        }
    };
    for command in commands {
        match command {
            Command::Write(line) => write(&line),
            Command::Flush(done) => {
                // The channel has capacity for the one reply.
                let _ = done.try_send(());
            }
        }
        let count = missed();
        if count > 0 {
            let at = timestamp(SystemTime::now());
            let line = json!({ "at": at, "event": "missed", "count": count });
            write(format!("{line}\n").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Announces each write, and blocks it until the sender of `unblock` is dropped.
    struct SlowWriter {
        started: Sender<()>,
        unblock: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for SlowWriter {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.started.send(()).unwrap();
            // Returns an error at once after the sender is dropped.
            let _ = self.unblock.recv();
            self.written.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn slow_disk_does_not_block_and_dropped_lines_are_counted() {
        let (started, first_write) = channel();
        let (block, unblock) = channel();
        let written = Arc::default();
        let writer = SlowWriter {
            started,
            unblock,
            written: Arc::clone(&written),
        };
        let log = AuditLog::with_writer(writer, 1).unwrap();
        log.record(&1);
        first_write.recv().unwrap();
        // Line 1 is being written and line 2 is queued. The queue is full for lines 3 and 4.
        for line in 2..=4 {
            log.record(&line);
        }
        drop(block);
        log.finish();
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!((&lines[0], &lines[2]), (&json!(1), &json!(2)), "{written}");
        assert_eq!(lines[1]["event"], "missed");
        assert_eq!(lines[1]["count"], 2);
        assert_eq!(lines.len(), 3, "{written}");
    }

    #[test]
    fn log_without_a_file_does_nothing() {
        let log = AuditLog::default();
        log.record(&1);
        log.finish();
    }

    #[cfg(unix)]
    #[test]
    fn file_is_appended_to_and_readable_only_by_its_owner() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for line in [1, 2] {
            let log = AuditLog::open(&path).unwrap();
            log.record(&line);
            log.finish();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(AuditLog::open(folder.path()).is_err());
    }
}
