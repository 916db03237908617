//! A socket lives as long as its credential: it is closed when that ends or is taken back, whatever
//! its client does, and stays when it is renewed.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _, future};
use portcullis_e2e::{Mode, Proxy, RawConnection, RedisServer, Signal, leaks};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::guarded::{Guarded, LIMIT, Socket, frame, json_of};

const EXPIRED: u16 = 3000;
const FORBIDDEN: u16 = 3003;

/// As short as keeps a test from waiting, as long as lets a slow machine open a few sockets.
const LIFETIME: Duration = Duration::from_secs(3);

/// Of a socket that is renewed while the test talks: a slow machine has to be done with it before the
/// end comes.
const RENEWED_LIFETIME: Duration = Duration::from_secs(8);

/// Within which a session has promised to be gone.
const GRACE: Duration = Duration::from_secs(5);

/// What a client that floods says at once. With less, it would be busy for long after the server is
/// done, with all that lies in the buffers between them.
const MUCH: usize = 16 * 1024;

fn with_lifetime(lifetime: Duration) -> Guarded {
    Guarded::start(&["--token-lifetime", &lifetime.as_secs().to_string()])
}

// --- expiry ------------------------------------------------------------------------------------

#[tokio::test]
async fn the_first_message_tells_the_session_and_when_it_ends() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let (_first, hello) = guarded.open_as("ws/header", guarded.alice()).await;
    let (_second, other) = guarded.open_as("ws/header", guarded.alice()).await;
    let left = hello["expires_in"].as_u64().expect("seconds");
    assert!((1..=3600).contains(&left), "{hello}");
    assert_ne!(session(&hello), session(&other));
}

#[tokio::test]
async fn expiry_closes_the_socket_whatever_its_client_does() {
    let guarded = with_lifetime(LIFETIME);
    tokio::join!(
        idle(&guarded),
        flood(&guarded),
        ignore(&guarded),
        never_read(&guarded),
    );
}

/// Fails unless a client, which was let in just now, ends by itself soon enough.
async fn is_gone(name: &str, client: impl Future<Output = ()>) {
    let ended = timeout(LIFETIME + GRACE, client).await;
    assert!(ended.is_ok(), "{name}: the connection is still there");
}

/// Reads and says nothing.
async fn idle(guarded: &Guarded) {
    let (mut socket, _) = guarded.open_as("ws/header", guarded.alice()).await;
    let end = async { assert_eq!(socket.close_code().await, EXPIRED) };
    is_gone("idle", end).await;
}

/// Sends and reads as fast as it can.
async fn flood(guarded: &Guarded) {
    let (socket, _) = guarded.open_as("ws/header", guarded.alice()).await;
    let (mut sink, mut stream) = socket.into_inner().split();
    let more = Message::text(".".repeat(MUCH));
    let send = async { while sink.send(more.clone()).await.is_ok() {} };
    let read = async {
        let mut close = None;
        while let Some(Ok(message)) = stream.next().await {
            if let Message::Close(frame) = message {
                close = frame;
            }
        }
        assert_eq!(u16::from(close.expect("a close frame").code), EXPIRED);
    };
    is_gone("floods", async {
        future::join(send, read).await;
    })
    .await;
}

/// Reads to the end and answers no close frame.
async fn ignore(guarded: &Guarded) {
    let mut connection = RawConnection::open(guarded.server.authority()).await;
    connection
        .send(&guarded.handshake("ws/header", Some(guarded.alice())))
        .await;
    let head = connection.until(b"\r\n\r\n").await;
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    is_gone("ignores the close", async {
        let rest = connection.rest().await;
        let code = EXPIRED.to_be_bytes();
        let is_close = |frame: &[u8]| frame[0] == 0x88 && frame[2..] == code;
        assert!(rest.windows(4).any(is_close), "no close frame in {rest:?}");
    })
    .await;
}

/// Sends until it cannot, so that the handler is stuck in its own sending.
async fn never_read(guarded: &Guarded) {
    let connection = TcpStream::connect(guarded.server.authority()).await;
    let mut connection = connection.expect("the server listens");
    connection
        .write_all(&guarded.handshake("ws/header", Some(guarded.alice())))
        .await
        .expect("it reads");
    // The beginning of the answer: it is let in.
    let mut answer = [0; 1];
    let begins = connection.read_exact(&mut answer).await;
    begins.expect("an answer");
    let frame = frame(&".".repeat(MUCH));
    is_gone("never reads", async {
        while connection.write_all(&frame).await.is_ok() {}
    })
    .await;
}

// --- nobody there ------------------------------------------------------------------------------

/// A network that is gone without a word, and a process that is stopped: its kernel goes on taking
/// what it is sent.
#[tokio::test]
async fn nobody_waits_for_a_client_that_does_not_answer_pings() {
    const INTERVAL: Duration = Duration::from_secs(2);
    let guarded = Guarded::start(&["--ping-every", &INTERVAL.as_secs().to_string()]);
    let (here, hello) = guarded.open_as("ws/header", guarded.alice()).await;
    let (told, mut pings) = mpsc::unbounded_channel();
    let here = tokio::spawn(async move {
        let mut socket = here.into_inner();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_ping() {
                told.send(()).expect("somebody counts");
            }
        }
    });

    let (_stopped, _) = guarded.open_as("ws/header", guarded.alice()).await;
    let (_, port) = guarded.server.authority().rsplit_once(':').expect("a port");
    let proxy = Proxy::start(port.parse().expect("a number")).await;
    let address = proxy.url().replace("redis://", "ws://") + "/ws/header";
    let bearer = format!("Bearer {}", guarded.alice());
    let lost = Socket::open(&address, &[("authorization", &bearer)]).await;
    let lost = lost.expect("it is open");
    let (_sink, lost) = lost.into_inner().split();
    let _lost = tokio::spawn(lost.collect::<Vec<_>>());

    let sessions = async || {
        let answer = guarded
            .request("GET", "sessions", &guarded.root, &json!({}))
            .await;
        json_of(&answer).as_array().expect("a list").clone()
    };
    assert_eq!(sessions().await.len(), 3);
    proxy.set(Mode::Silent);
    let gone = async {
        while sessions().await.len() > 1 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let gone = timeout(2 * INTERVAL + GRACE, gone).await;
    assert!(gone.is_ok(), "{:?}", sessions().await);
    // Three pings later, two of them are answered for sure.
    while pings.try_recv().is_ok() {}
    for _ in 0..3 {
        let ping = timeout(LIMIT, pings.recv()).await;
        ping.expect("a ping").expect("it is open");
    }
    let left = sessions().await;
    assert_eq!((left.len(), &left[0]["id"]), (1, &hello["session"]));
    here.abort();
}

// --- renewal -----------------------------------------------------------------------------------

#[tokio::test]
async fn a_renewal_in_band_keeps_the_socket_and_every_message() {
    let guarded = with_lifetime(RENEWED_LIFETIME);
    let renew = async |talk: &mut Talk| {
        let message = json!({ "type": "auth", "token": guarded.alice() });
        talk.socket.say_json(&message).await;
        talk.renewals += 1;
    };
    let talk = outlive(&guarded, renew).await;
    assert_eq!(talk.renewed.len(), talk.renewals, "an answer for each");
    for answer in talk.renewed {
        let left = answer["expires_in"].as_u64().expect("seconds");
        assert!((1..=RENEWED_LIFETIME.as_secs()).contains(&left), "{answer}");
    }
}

#[tokio::test]
async fn a_renewal_out_of_band_keeps_the_socket_and_every_message() {
    let guarded = with_lifetime(RENEWED_LIFETIME);
    let renew = async |talk: &mut Talk| {
        let session = json!({ "session": talk.session });
        let answer = guarded
            .request("POST", "renew", guarded.alice(), &session)
            .await;
        assert_eq!(answer.status(), 200, "{}", answer.body());
        let left = json_of(&answer)["expires_in"].as_u64().expect("seconds");
        assert!(
            (1..=RENEWED_LIFETIME.as_secs()).contains(&left),
            "{answer:?}"
        );
    };
    let talk = outlive(&guarded, renew).await;
    assert!(talk.renewed.is_empty(), "nothing is said in band");
}

/// Renews a socket again and again until one that was opened after it and is not renewed has
/// expired. In the midst of each renewal numbered messages are under way.
async fn outlive(guarded: &Guarded, mut renew: impl AsyncFnMut(&mut Talk)) -> Talk {
    let mut talk = Talk::open(guarded).await;
    let (mut other, _) = guarded.open_as("ws/renewable", guarded.alice()).await;
    let mut other = tokio::spawn(async move { other.close_code().await });
    loop {
        talk.say_some().await;
        renew(&mut talk).await;
        talk.say_some().await;
        talk.hear_all().await;
        // The pause keeps a server that prints all it does from printing without end.
        if let Ok(code) = timeout(Duration::from_millis(200), &mut other).await {
            assert_eq!(code.expect("no panic"), EXPIRED);
            break;
        }
    }
    talk.say_some().await;
    talk.hear_all().await;
    talk
}

/// A socket and the numbered messages that go through it.
struct Talk {
    socket: Socket,
    session: String,
    said: u64,
    heard: u64,
    /// How many renewals it will hear the answer of.
    renewals: usize,
    renewed: Vec<Value>,
}

impl Talk {
    async fn open(guarded: &Guarded) -> Self {
        let (socket, hello) = guarded.open_as("ws/renewable", guarded.alice()).await;
        Self {
            socket,
            session: session(&hello),
            said: 0,
            heard: 0,
            renewals: 0,
            renewed: Vec::new(),
        }
    }

    async fn say_some(&mut self) {
        for _ in 0..20 {
            let number = self.said.to_string();
            self.socket.say(&number).await;
            self.said += 1;
        }
    }

    /// Everything that is due comes: each number once and in order.
    async fn hear_all(&mut self) {
        while self.heard < self.said || self.renewed.len() < self.renewals {
            match self.socket.hear_json().await {
                Value::Number(number) => {
                    assert_eq!(number.as_u64(), Some(self.heard));
                    self.heard += 1;
                }
                other => {
                    assert_eq!(other["type"], "auth", "{other}");
                    self.renewed.push(other);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_renewal_by_somebody_else_closes_the_socket() {
    let guarded = Guarded::start(&[]);
    let (mut socket, _) = guarded.open_as("ws/renewable", guarded.alice()).await;
    let message = json!({ "type": "auth", "token": guarded.bob });
    socket.say_json(&message).await;
    assert_eq!(socket.close_code().await, FORBIDDEN);

    let (mut socket, hello) = guarded.open_as("ws/renewable", guarded.alice()).await;
    let body = json!({ "session": session(&hello) });
    let answer = guarded.request("POST", "renew", &guarded.bob, &body).await;
    assert_eq!(answer.status(), 403, "{}", answer.body());
    assert_eq!(socket.close_code().await, FORBIDDEN);
}

/// Who has no good credential cannot end a session either.
#[tokio::test]
async fn a_renewal_that_is_refused_changes_nothing() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let (mut socket, hello) = guarded.open_as("ws/renewable", guarded.alice()).await;
    let body = json!({ "session": session(&hello) });
    let wrong = guarded.server.foreign_secret();
    let answer = guarded.request("POST", "renew", &wrong, &body).await;
    assert_eq!(answer.status(), 401);
    let unknown = json!({ "session": "no-such-session" });
    let answer = guarded
        .request("POST", "renew", guarded.alice(), &unknown)
        .await;
    assert_eq!(answer.status(), 404);
    for message in [
        json!({ "type": "auth", "token": wrong }),
        json!({ "type": "auth" }),
    ] {
        socket.say_json(&message).await;
        let answer = socket.hear_json().await;
        assert_eq!(answer["type"], "auth", "{answer}");
        assert!(answer["error"].is_string(), "{answer}");
        assert!(leaks(&answer.to_string(), std::slice::from_ref(&wrong)).is_empty());
    }
    socket.assert_echoes().await;
}

// --- revocation --------------------------------------------------------------------------------

#[tokio::test]
async fn revoking_a_subject_closes_its_sockets_and_refuses_its_token() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let mut of_alice = Vec::new();
    for path in ["ws/header", "ws/any", "ws/renewable"] {
        of_alice.push(guarded.open_as(path, guarded.alice()).await.0);
    }
    let (mut of_bob, _) = guarded.open_as("ws/header", &guarded.bob).await;

    assert_eq!(guarded.revoke(&json!({ "subject": "alice" })).await, 3);
    for socket in &mut of_alice {
        assert_eq!(socket.close_code().await, FORBIDDEN);
    }
    of_bob.assert_echoes().await;
    for path in ["ws/header", "ws/any", "ws/renewable"] {
        let refused = guarded.try_open_as(path, guarded.alice()).await;
        assert_eq!(refused.err().map(|status| status.as_u16()), Some(401));
    }
    let answer = guarded
        .request("POST", "ticket", guarded.alice(), &json!({}))
        .await;
    assert_eq!(answer.status(), 401, "nor is there a ticket for it");
}

#[tokio::test]
async fn revoking_a_session_closes_that_one() {
    let guarded = Guarded::start(&[]);
    let (mut first, hello) = guarded.open_as("ws/header", guarded.alice()).await;
    let (mut second, _) = guarded.open_as("ws/header", guarded.alice()).await;

    let what = json!({ "session": session(&hello) });
    assert_eq!(guarded.revoke(&what).await, 1);
    assert_eq!(first.close_code().await, FORBIDDEN);
    second.assert_echoes().await;
    let (mut again, _) = guarded.open_as("ws/header", guarded.alice()).await;
    again.assert_echoes().await;
    assert_eq!(guarded.revoke(&what).await, 0, "it is closed already");
}

#[tokio::test]
async fn revoking_everything_closes_every_socket() {
    let guarded = Guarded::start(&[]);
    let tokens = [guarded.alice(), &guarded.bob, &guarded.root];
    let mut sockets = Vec::new();
    for token in tokens {
        sockets.push(guarded.open_as("ws/any", token).await.0);
    }
    assert_eq!(guarded.revoke(&json!({ "all": true })).await, 3);
    for socket in &mut sockets {
        assert_eq!(socket.close_code().await, FORBIDDEN);
    }
}

#[tokio::test]
async fn only_an_administrator_sees_and_revokes() {
    let guarded = Guarded::start(&[]);
    let (mut socket, hello) = guarded.open_as("ws/header", guarded.alice()).await;
    let wrong = guarded.server.foreign_secret();
    for (token, status) in [(guarded.alice(), 403), (&guarded.bob, 403), (&wrong, 401)] {
        for what in [
            json!({ "all": true }),
            json!({ "subject": "alice" }),
            json!({ "session": session(&hello) }),
        ] {
            let answer = guarded.request("POST", "revoke", token, &what).await;
            assert_eq!(answer.status(), status, "{what}");
        }
        let answer = guarded.request("GET", "sessions", token, &json!({})).await;
        assert_eq!(answer.status(), status);
    }
    socket.assert_echoes().await;

    let answer = guarded
        .request("GET", "sessions", &guarded.root, &json!({}))
        .await;
    assert_eq!(answer.status(), 200);
    let list = answer.body();
    assert!(
        list.contains("alice") && list.contains(&session(&hello)),
        "{list}"
    );
}

#[tokio::test]
async fn a_revocation_at_one_machine_closes_sockets_at_the_other() {
    let redis = RedisServer::start();
    let machines = [(); 2].map(|()| Guarded::start(&["--redis", &redis.url()]));
    let [one, other] = &machines;
    let (mut of_alice, _) = other.open_as("ws/header", other.alice()).await;
    let (mut of_bob, _) = other.open_as("ws/header", &other.bob).await;

    one.revoke(&json!({ "subject": "alice" })).await;
    assert_eq!(of_alice.close_code().await, FORBIDDEN);
    of_bob.assert_echoes().await;
    let refused = other.try_open_as("ws/header", other.alice()).await;
    assert_eq!(refused.err().map(|status| status.as_u16()), Some(401));
}

// --- shutdown ----------------------------------------------------------------------------------

/// Open sockets, pending ones, and a client that does not answer: all are told, and the server ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_says_so_to_every_socket() {
    const GOING_AWAY: u16 = 1001;
    let mut guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let mut sockets: Vec<JoinHandle<u16>> = Vec::new();
    for path in ["ws/header", "ws/any", "ws/renewable"] {
        let (mut socket, _) = guarded.open_as(path, guarded.alice()).await;
        sockets.push(tokio::spawn(async move { socket.close_code().await }));
    }
    let mut stubborn = RawConnection::open(guarded.server.authority()).await;
    stubborn
        .send(&guarded.handshake("ws/header", Some(guarded.alice())))
        .await;
    stubborn.until(b"\r\n\r\n").await;
    // Last, since they do not have long.
    for path in ["ws/first-message", "ws/fhir", "ws/ddp"] {
        let mut socket = guarded.pending(path).await;
        sockets.push(tokio::spawn(async move { socket.close_code().await }));
    }

    let stop = || guarded.server.process().stop(Signal::TERM, LIMIT);
    let status = tokio::task::block_in_place(stop);
    assert!(status.success(), "{status}");
    for socket in sockets {
        assert_eq!(socket.await.expect("no panic"), GOING_AWAY);
    }
    stubborn.rest().await;
}

fn session(hello: &Value) -> String {
    hello["session"].as_str().expect("a session").to_owned()
}
