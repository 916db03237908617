//! Two kernel servers with one Redis, which is killed and restarted.
//!
//! Meanwhile the kernels run, tokens are accepted, and no ticket can be minted or redeemed. A link that
//! is revoked meanwhile is refused at its own server at once. The other server closes the sockets of
//! the guest when Redis is back, and the link stays revoked. At the end the test compares its record
//! with the responses in the logs, and with the sessions in the audit logs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures_util::future;
use http::{Response, StatusCode};
use portcullis_e2e::Server;
use serde_json::{Value, json};

use super::keys;
use super::machine::logged_responses;
use super::record::key_of;
use crate::kernels;
use crate::pair::{self, EVENTS, Guest, LIMIT, Pair, REVOKED, Socket, sessions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kernels_keep_running_without_redis() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let logs = ["a", "b"].map(|name| folder.path().join(name));
    let arguments = logs.each_ref().map(|log| ["--audit-log", text(log)]);
    let mut pair = Pair::start_with(arguments.each_ref().map(|these| &these[..]));
    let (a, b) = (Record::new(&logs[0]), Record::new(&logs[1]));
    let guest = Guest::of(&pair.a).await;
    pair.b.keep_secret(&guest.token);
    let link = format!("api/share/{}", guest.id);
    let by_link = format!("{EVENTS}?token={}", guest.token);
    let as_owner = format!("{EVENTS}?token={}", pair.a.token());

    // --- Redis is running
    let start = |server| kernels::start(Server::base(server), server.token());
    let (here, there) = future::join(start(&pair.a), start(&pair.b)).await;
    let of = |id: &str| format!("{}?token={}", kernels::channels(id), pair.a.token());
    let (of_here, of_there) = (of(&here), of(&there));
    let mut kernel_here = a.expect_open(&pair.a, &of_here).await;
    let mut kernel_there = b.expect_open(&pair.b, &of_there).await;
    assert_eq!(kernel_here.run("x = 6; print(x)").await, "6\n");
    assert_eq!(kernel_there.run("x = 7; print(x)").await, "7\n");
    let mut guest_here = a.expect_open(&pair.a, &by_link).await;
    let guests_ticket = a.expect_ticket(&pair, &guest.token, EVENTS).await;
    let by_ticket = format!("{EVENTS}?ticket={guests_ticket}");
    let mut guest_there = b.expect_open(&pair.b, &by_ticket).await;
    let guests_last = a.expect_ticket(&pair, &guest.token, EVENTS).await;
    let owners = a.expect_ticket(&pair, pair.a.token(), EVENTS).await;
    let by_owners = format!("{EVENTS}?ticket={owners}");

    // --- Redis is killed
    pair.redis.kill();
    for token in [pair.a.token(), &guest.token] {
        let answer = a.mint(&pair.a, token, EVENTS).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    for _ in 0..2 {
        let refused = b.open(&pair.b, &by_owners).await.err();
        assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
    }
    let mut late_here = a.expect_open(&pair.a, &as_owner).await;
    let mut late_there = b.expect_open(&pair.b, &as_owner).await;
    let revoked = a.send(&pair.a, pair.a.token(), "DELETE", &link, "").await;
    assert_eq!(
        revoked.status(),
        StatusCode::SERVICE_UNAVAILABLE,
        "{revoked:?}"
    );
    assert_eq!(guest_here.close_code().await, REVOKED);
    a.expect_refusal(&pair.a, &by_link).await;
    let refused = a.send(&pair.a, &guest.token, "GET", "api/me", "").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    // The other server has not received the revocation.
    guest_there.assert_is_open().await;
    assert_eq!(kernel_here.run("x += 1; print(x)").await, "7\n");
    assert_eq!(kernel_there.run("x += 1; print(x)").await, "8\n");

    // --- Redis is restarted
    pair.redis.restart();
    let began = Instant::now();
    loop {
        let revoked = a.send(&pair.a, pair.a.token(), "DELETE", &link, "").await;
        if revoked.status() == StatusCode::OK {
            break;
        }
        assert_eq!(
            revoked.status(),
            StatusCode::SERVICE_UNAVAILABLE,
            "{revoked:?}"
        );
        assert!(began.elapsed() < LIMIT, "the link cannot be revoked");
    }
    assert_eq!(guest_there.close_code().await, REVOKED);
    a.expect_refusal(&pair.a, &by_link).await;
    let unknown = a.send(&pair.a, pair.a.token(), "DELETE", &link, "").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    // A ticket of the guest is refused, too, also by a server that starts after the revocation.
    let late = pair.start_another();
    late.keep_secret(&guest.token);
    late.keep_secret(&guests_last);
    let last = format!("{EVENTS}?ticket={guests_last}");
    let refused = pair::open(&late, &last).await.err();
    assert_eq!(refused, Some(StatusCode::FORBIDDEN));
    b.expect_refusal(&pair.b, &last).await;

    // The ticket of the owner is unused, so it opens one socket, unless it has expired.
    let attempts = future::join(b.open(&pair.b, &by_owners), a.open(&pair.a, &by_owners));
    let (first, second) = attempts.await;
    assert!(first.is_err() || second.is_err(), "one ticket, two sockets");
    let path = kernels::channels(&there);
    let by_ticket = async || {
        let ticket = a.expect_ticket(&pair, pair.a.token(), &path).await;
        let url = format!("{path}?ticket={ticket}");
        (ticket, b.expect_open(&pair.b, &url).await)
    };
    let (last, mut reopened) = by_ticket().await;
    assert_eq!(reopened.run("print(x)").await, "8\n");
    assert_eq!(kernel_here.run("x += 1; print(x)").await, "8\n");
    assert_eq!(kernel_there.run("x += 1; print(x)").await, "9\n");
    late_here.assert_is_open().await;
    late_there.assert_is_open().await;

    // --- the record
    let left = keys(&pair.redis);
    for used in [&guests_ticket, &guests_last, &owners, &last] {
        assert!(!left.contains(&key_of(used)), "a used ticket is in Redis");
    }
    a.wait_until_it_matches(&pair.a).await;
    b.wait_until_it_matches(&pair.b).await;
}

/// The requests to a server and their outcomes.
struct Record<'a> {
    audit_log: &'a Path,
    responses: RefCell<BTreeMap<(String, u16), usize>>,
    opened: Cell<usize>,
}

impl<'a> Record<'a> {
    fn new(audit_log: &'a PathBuf) -> Self {
        Self {
            audit_log,
            responses: RefCell::default(),
            opened: Cell::new(0),
        }
    }

    /// Mints a ticket at the first server with a running Redis. A busy machine can need two attempts.
    async fn expect_ticket(&self, pair: &Pair, token: &str, path: &str) -> String {
        let began = Instant::now();
        loop {
            let answer = self.mint(&pair.a, token, path).await;
            if answer.status() == StatusCode::OK {
                let answer: Value = serde_json::from_str(answer.body()).expect("JSON");
                let ticket = answer["ticket"].as_str().expect("a ticket").to_owned();
                pair.a.keep_secret(&ticket);
                pair.b.keep_secret(&ticket);
                return ticket;
            }
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(began.elapsed() < LIMIT, "tickets cannot be minted");
        }
    }

    async fn mint(&self, server: &Server, token: &str, path: &str) -> Response<String> {
        let body = json!({ "path": format!("/{path}") }).to_string();
        self.send(server, token, "POST", "api/portcullis/ticket", &body)
            .await
    }

    async fn send(
        &self,
        server: &Server,
        token: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Response<String> {
        let answer = pair::send(server, token, method, path, body).await;
        self.add_response(path, answer.status());
        answer
    }

    async fn expect_open(&self, server: &Server, path: &str) -> Socket {
        let opened = self.open(server, path).await;
        opened.unwrap_or_else(|status| panic!("{status}"))
    }

    async fn expect_refusal(&self, server: &Server, path: &str) {
        let refused = self.open(server, path).await.err();
        assert_eq!(refused, Some(StatusCode::FORBIDDEN));
    }

    async fn open(&self, server: &Server, path: &str) -> Result<Socket, StatusCode> {
        let opened = pair::open(server, path).await;
        let status = match &opened {
            Ok(_) => {
                self.opened.set(self.opened.get() + 1);
                StatusCode::SWITCHING_PROTOCOLS
            }
            Err(status) => *status,
        };
        self.add_response(path, status);
        opened
    }

    fn add_response(&self, path: &str, status: StatusCode) {
        let path = path.split('?').next().expect("a path");
        let response = (format!("/{path}"), status.as_u16());
        *self.responses.borrow_mut().entry(response).or_default() += 1;
    }

    /// Waits until the server has logged these responses and no others, and until its audit log has
    /// every session: each was opened once, and is either listed or was closed once. The first
    /// session was closed by the revocation.
    async fn wait_until_it_matches(&self, server: &Server) {
        let began = Instant::now();
        loop {
            let known: BTreeSet<_> = self
                .responses
                .borrow()
                .keys()
                .map(|it| it.0.clone())
                .collect();
            let mut logged = logged_responses(server);
            logged.retain(|(path, _), _| known.contains(path));
            let listed = ids(sessions(server).await.iter());
            let (opened, closed) = (self.audited("opened"), self.audited("closed"));
            let live = &opened - &closed;
            let cause = self
                .lines("closed")
                .first()
                .map(|line| line["cause"].clone());
            if logged == *self.responses.borrow()
                && opened.len() == self.opened.get()
                && live == listed
                && cause == Some(json!("revoked"))
            {
                return;
            }
            assert!(
                began.elapsed() < LIMIT,
                "logged: {logged:#?}, expected: {:#?}; opened: {opened:?} of {}, closed: \
                 {closed:?} for {cause:?}, listed: {listed:?}",
                self.responses,
                self.opened.get()
            );
        }
    }

    /// Returns the sessions with this event in the audit log. No session has it twice.
    fn audited(&self, event: &str) -> BTreeSet<String> {
        let lines = self.lines(event);
        let sessions = ids(lines.iter());
        assert_eq!(sessions.len(), lines.len(), "{event} twice: {lines:?}");
        sessions
    }

    fn lines(&self, event: &str) -> Vec<Value> {
        let log = std::fs::read_to_string(self.audit_log).expect("the log is there");
        // The last line can be incomplete.
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line["event"] == event)
            .collect()
    }
}

fn ids<'a>(lines: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    let ids = lines.map(|line| line["session"].as_str().expect("a session"));
    ids.map(str::to_owned).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
