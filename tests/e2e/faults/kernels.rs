//! Two kernel servers, and their one Redis is killed and comes back.
//!
//! Their kernels go on, who has a token is let in, and there are no tickets. A link that is taken back
//! meanwhile is good for nobody where it was made, at once; its guests at the other server hear of it
//! when Redis is back, and it stays taken back. At the end the books are closed here, too: every
//! answer is in what the servers have printed, and every socket in their audit logs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures_util::future;
use http::{Response, StatusCode};
use portcullis_e2e::Server;
use serde_json::{Value, json};

use super::keys;
use super::ledger::key_of;
use super::machine::answers;
use crate::kernels;
use crate::pair::{self, EVENTS, Guest, LIMIT, Pair, REVOKED, Socket, sessions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kernels_go_on_without_their_redis() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let logs = ["a", "b"].map(|name| folder.path().join(name));
    let arguments = logs.each_ref().map(|log| ["--audit-log", text(log)]);
    let mut pair = Pair::start_with(arguments.each_ref().map(|them| &them[..]));
    let (a, b) = (Books::new(&logs[0]), Books::new(&logs[1]));
    let guest = Guest::of(&pair.a).await;
    pair.b.keep_secret(&guest.token);
    let link = format!("api/share/{}", guest.id);
    let by_link = format!("{EVENTS}?token={}", guest.token);
    let as_owner = format!("{EVENTS}?token={}", pair.a.token());

    // --- all is well
    let start = |server| kernels::start(Server::base(server), server.token());
    let (here, there) = future::join(start(&pair.a), start(&pair.b)).await;
    let of = |id: &str| format!("{}?token={}", kernels::channels(id), pair.a.token());
    let (of_here, of_there) = (of(&here), of(&there));
    let mut kernel_here = a.opens(&pair.a, &of_here).await;
    let mut kernel_there = b.opens(&pair.b, &of_there).await;
    assert_eq!(kernel_here.run("x = 6; print(x)").await, "6\n");
    assert_eq!(kernel_there.run("x = 7; print(x)").await, "7\n");
    let mut guest_here = a.opens(&pair.a, &by_link).await;
    let guests_ticket = a.mints(&pair, &guest.token, EVENTS).await;
    let by_ticket = format!("{EVENTS}?ticket={guests_ticket}");
    let mut guest_there = b.opens(&pair.b, &by_ticket).await;
    let guests_last = a.mints(&pair, &guest.token, EVENTS).await;
    let owners = a.mints(&pair, pair.a.token(), EVENTS).await;
    let by_owners = format!("{EVENTS}?ticket={owners}");

    // --- Redis is dead
    pair.redis.kill();
    for token in [pair.a.token(), &guest.token] {
        let answer = a.mint(&pair.a, token, EVENTS).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    for _ in 0..2 {
        let refused = b.open(&pair.b, &by_owners).await.err();
        assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
    }
    let mut late_here = a.opens(&pair.a, &as_owner).await;
    let mut late_there = b.opens(&pair.b, &as_owner).await;
    let taken = a.send(&pair.a, pair.a.token(), "DELETE", &link, "").await;
    assert_eq!(taken.status(), StatusCode::SERVICE_UNAVAILABLE, "{taken:?}");
    assert_eq!(guest_here.close_code().await, REVOKED);
    a.refuses(&pair.a, &by_link).await;
    let nobody = a.send(&pair.a, &guest.token, "GET", "api/me", "").await;
    assert_eq!(nobody.status(), StatusCode::FORBIDDEN);
    // The other server has not heard of it.
    guest_there.assert_is_open().await;
    assert_eq!(kernel_here.run("x += 1; print(x)").await, "7\n");
    assert_eq!(kernel_there.run("x += 1; print(x)").await, "8\n");

    // --- Redis is back
    pair.redis.restart();
    let began = Instant::now();
    loop {
        let taken = a.send(&pair.a, pair.a.token(), "DELETE", &link, "").await;
        if taken.status() == StatusCode::OK {
            break;
        }
        assert_eq!(taken.status(), StatusCode::SERVICE_UNAVAILABLE, "{taken:?}");
        assert!(began.elapsed() < LIMIT, "nobody takes a link back");
    }
    assert_eq!(guest_there.close_code().await, REVOKED);
    a.refuses(&pair.a, &by_link).await;
    let gone = a.send(&pair.a, pair.a.token(), "DELETE", &link, "").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    // Nor is it good for who comes with a ticket, wherever that is, and whenever that server started.
    let late = pair.one_that_starts_late();
    late.keep_secret(&guest.token);
    late.keep_secret(&guests_last);
    let last = format!("{EVENTS}?ticket={guests_last}");
    let refused = pair::open(&late, &last).await.err();
    assert_eq!(refused, Some(StatusCode::FORBIDDEN));
    b.refuses(&pair.b, &last).await;

    // Nobody has redeemed this one, so it is still good once, unless it has ended.
    let attempts = future::join(b.open(&pair.b, &by_owners), a.open(&pair.a, &by_owners));
    let (first, second) = attempts.await;
    assert!(first.is_err() || second.is_err(), "one ticket, two sockets");
    let path = kernels::channels(&there);
    let by_ticket = async || {
        let ticket = a.mints(&pair, pair.a.token(), &path).await;
        let opened = b.opens(&pair.b, &format!("{path}?ticket={ticket}")).await;
        (ticket, opened)
    };
    let (last, mut again) = by_ticket().await;
    assert_eq!(again.run("print(x)").await, "8\n");
    assert_eq!(kernel_here.run("x += 1; print(x)").await, "8\n");
    assert_eq!(kernel_there.run("x += 1; print(x)").await, "9\n");
    late_here.assert_is_open().await;
    late_there.assert_is_open().await;

    // --- the books
    let left = keys(&pair.redis);
    for spent in [&guests_ticket, &guests_last, &owners, &last] {
        assert!(!left.contains(&key_of(spent)), "a ticket is good twice");
    }
    a.agree_with(&pair.a).await;
    b.agree_with(&pair.b).await;
}

/// What was attempted at a server, and what came of it.
struct Books<'a> {
    audit_log: &'a Path,
    answers: RefCell<BTreeMap<(String, u16), usize>>,
    opened: Cell<usize>,
}

impl<'a> Books<'a> {
    fn new(audit_log: &'a PathBuf) -> Self {
        Self {
            audit_log,
            answers: RefCell::default(),
            opened: Cell::new(0),
        }
    }

    /// A ticket of the first server, where the store answers; a busy machine may need two attempts.
    async fn mints(&self, pair: &Pair, token: &str, path: &str) -> String {
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
            assert!(began.elapsed() < LIMIT, "there are no tickets");
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
        self.write_down(path, answer.status());
        answer
    }

    async fn opens(&self, server: &Server, path: &str) -> Socket {
        let opened = self.open(server, path).await;
        opened.unwrap_or_else(|status| panic!("{status}"))
    }

    async fn refuses(&self, server: &Server, path: &str) {
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
        self.write_down(path, status);
        opened
    }

    fn write_down(&self, path: &str, status: StatusCode) {
        let path = path.split('?').next().expect("a path");
        let answer = (format!("/{path}"), status.as_u16());
        *self.answers.borrow_mut().entry(answer).or_default() += 1;
    }

    /// Waits until the server has given these answers and no others, and says so of every socket: it
    /// was opened once, and is either listed or was closed once. The first to be closed was taken
    /// back.
    async fn agree_with(&self, server: &Server) {
        let began = Instant::now();
        loop {
            let known: BTreeSet<_> = self
                .answers
                .borrow()
                .keys()
                .map(|it| it.0.clone())
                .collect();
            let mut given = answers(server);
            given.retain(|(path, _), _| known.contains(path));
            let listed = ids(sessions(server).await.iter());
            let (opened, closed) = (self.told("opened"), self.told("closed"));
            let live = &opened - &closed;
            let cause = self
                .lines("closed")
                .first()
                .map(|line| line["cause"].clone());
            if given == *self.answers.borrow()
                && opened.len() == self.opened.get()
                && live == listed
                && cause == Some(json!("revoked"))
            {
                return;
            }
            assert!(
                began.elapsed() < LIMIT,
                "given: {given:#?}, in the books: {:#?}; opened: {opened:?} of {}, closed: \
                 {closed:?} for {cause:?}, listed: {listed:?}",
                self.answers,
                self.opened.get()
            );
        }
    }

    /// The sessions to which this has happened, and to none twice.
    fn told(&self, event: &str) -> BTreeSet<String> {
        let lines = self.lines(event);
        let told = ids(lines.iter());
        assert_eq!(told.len(), lines.len(), "{event} twice: {lines:?}");
        told
    }

    fn lines(&self, event: &str) -> Vec<Value> {
        let log = std::fs::read_to_string(self.audit_log).expect("the log is there");
        // The last line may be about to be written.
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
