//! Who was let in, for how long, and why no longer: a line of JSON for each event of a session, and
//! for what somebody does about the credentials of others.
//!
//! No credential is in it. A token is known by its id, which opens nothing.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::SystemTime;

use portcullis::session::{SessionEvent, SessionInfo};
use portcullis::{Identity, Revocation, Revoked};
use serde::Serialize;
use serde_json::{Value, json};

use crate::wire::timestamp;

/// How many lines may wait for a slow disk.
const QUEUE: usize = 10_000;

/// Where the lines go; nowhere, if nobody asked for them. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditLog(Option<Arc<Queue>>);

/// The way to the thread that writes. Sessions open and close on the threads that serve everybody:
/// they do not wait for a disk.
#[derive(Debug)]
struct Queue {
    sender: SyncSender<Order>,
    /// How many lines found no room.
    missed: AtomicU64,
}

enum Order {
    Write(Vec<u8>),
    /// Tell when everything before is written.
    Tell(SyncSender<()>),
}

impl AuditLog {
    /// Appends to this file. It is made if it does not exist, for nobody else to read.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Self::to(options.open(path)?, QUEUE)
    }

    fn to(writer: impl Write + Send + 'static, most: usize) -> io::Result<Self> {
        let (sender, orders) = sync_channel(most);
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
            .spawn(move || write_all(writer, &orders, missed))?;
        Ok(Self(Some(queue)))
    }

    /// What happened to a session.
    pub(crate) fn session(&self, event: &SessionEvent) {
        let Some(session) = event.session() else {
            return;
        };
        let mut line = SessionLine::new(event.as_str(), session);
        match event {
            // That an end is near is no deed of anybody.
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

    /// Somebody has made a link for a guest.
    pub(crate) fn shared(&self, by: &Identity, guest: &Identity) {
        self.record(&Deed {
            at: timestamp(SystemTime::now()),
            event: "shared",
            by: by.subject(),
            what: json!({ "subject": guest.subject(), "token_id": guest.token_id() }),
        });
    }

    /// Somebody takes something back. The sessions that this closes come after it.
    pub(crate) fn revoked(&self, by: &Identity, revocation: &Revocation) {
        self.record(&Deed {
            at: timestamp(SystemTime::now()),
            event: "revoked",
            by: by.subject(),
            what: match revocation.revoked() {
                Revoked::Token(id) => json!({ "token_id": id }),
                Revoked::Subject(subject) => json!({ "subject": subject }),
                Revoked::Session(id) => json!({ "session": id }),
                _ => json!({ "all": true }),
            },
        });
    }

    /// Waits until all lines are written. To be called when nothing can happen to a session any
    /// more.
    pub(crate) fn finish(&self) {
        let Some(queue) = &self.0 else { return };
        let (teller, told) = sync_channel(1);
        if queue.sender.send(Order::Tell(teller)).is_ok() {
            // An error means that the thread is gone, and so is all there was to wait for.
            let _ = told.recv();
        }
    }

    fn record(&self, line: &impl Serialize) {
        let Some(queue) = &self.0 else { return };
        let Ok(mut line) = serde_json::to_vec(line) else {
            return;
        };
        line.push(b'\n');
        if queue.sender.try_send(Order::Write(line)).is_err() {
            queue.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An event of one session.
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

/// Something that somebody did.
#[derive(Serialize)]
struct Deed<'a> {
    at: String,
    event: &'static str,
    by: &'a str,
    what: Value,
}

/// Writes each line with one call, so that several servers may share a file.
fn write_all(mut writer: impl Write, orders: &Receiver<Order>, missed: impl Fn() -> u64) {
    let mut write = |line: &[u8]| {
        if let Err(error) = writer.write_all(line) {
            tracing::error!(%error, "a line of the audit log is lost");
        }
    };
    for order in orders {
        match order {
            Order::Write(line) => write(&line),
            Order::Tell(teller) => {
                // There is room for the one answer.
                let _ = teller.try_send(());
            }
        }
        // A gap is no silence.
        match missed() {
            0 => {}
            count => {
                let at = timestamp(SystemTime::now());
                let line = json!({ "at": at, "event": "missed", "count": count });
                write(format!("{line}\n").as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Says that it is about to write, and waits until it may.
    struct Slow {
        begins: Sender<()>,
        gate: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.begins.send(()).unwrap();
            // Without anybody at the gate it is open.
            let _ = self.gate.recv();
            self.written.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_slow_disk_and_a_gap_is_told() {
        let (begins, begun) = channel();
        let (open, gate) = channel();
        let written = Arc::default();
        let slow = Slow {
            begins,
            gate,
            written: Arc::clone(&written),
        };
        let log = AuditLog::to(slow, 1).unwrap();
        log.record(&1);
        begun.recv().unwrap();
        // One is being written, one waits; two find no room.
        for line in 2..=4 {
            log.record(&line);
        }
        drop(open);
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
    fn without_a_file_nothing_is_done() {
        let log = AuditLog::default();
        log.record(&1);
        log.finish();
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_appended_to_and_for_nobody_else() {
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
