//! A socket stays open as long as its credential is valid. It closes on expiry and on revocation,
//! whatever its client does, and stays open on renewal.

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

/// The lifetime of tokens: short for a fast test, and long enough to open sockets on a slow machine.
const LIFETIME: Duration = Duration::from_secs(3);

/// The lifetime of tokens in tests of renewal, so that a slow machine can renew in time.
const RENEWED_LIFETIME: Duration = Duration::from_secs(8);

/// The time limit for the end of a session after its deadline.
const GRACE: Duration = Duration::from_secs(5);

/// The size of the messages of a client that floods. Smaller messages would keep it busy for long
/// after the server has closed the socket, because the buffers contain more of them.
const FLOOD_MESSAGE: usize = 16 * 1024;

fn with_lifetime(lifetime: Duration) -> Guarded {
    Guarded::start(&["--token-lifetime", &lifetime.as_secs().to_string()])
}

// --- expiry ------------------------------------------------------------------------------------

#[tokio::test]
async fn the_first_message_contains_the_session_id_and_the_remaining_time() {
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
        client_that_is_idle(&guarded),
        client_that_floods(&guarded),
        client_that_ignores_the_close(&guarded),
        client_that_never_reads(&guarded),
    );
}

/// Asserts that the connection of a new client ends in time.
async fn assert_ends(name: &str, client: impl Future<Output = ()>) {
    let ended = timeout(LIFETIME + GRACE, client).await;
    assert!(ended.is_ok(), "{name}: the connection is still open");
}

/// Reads and sends nothing.
async fn client_that_is_idle(guarded: &Guarded) {
    let (mut socket, _) = guarded.open_as("ws/header", guarded.alice()).await;
    let end = async { assert_eq!(socket.close_code().await, EXPIRED) };
    assert_ends("idle", end).await;
}

/// Sends and reads as fast as it can.
async fn client_that_floods(guarded: &Guarded) {
    let (socket, _) = guarded.open_as("ws/header", guarded.alice()).await;
    let (mut sink, mut stream) = socket.into_inner().split();
    let more = Message::text(".".repeat(FLOOD_MESSAGE));
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
    assert_ends("floods", async {
        future::join(send, read).await;
    })
    .await;
}

/// Reads to the end and does not answer the close frame.
async fn client_that_ignores_the_close(guarded: &Guarded) {
    let mut connection = RawConnection::open(guarded.server.authority()).await;
    connection
        .send(&guarded.handshake("ws/header", Some(guarded.alice())))
        .await;
    let head = connection.until(b"\r\n\r\n").await;
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    assert_ends("ignores the close", async {
        let rest = connection.rest().await;
        let code = EXPIRED.to_be_bytes();
        let is_close = |frame: &[u8]| frame[0] == 0x88 && frame[2..] == code;
        assert!(rest.windows(4).any(is_close), "no close frame in {rest:?}");
    })
    .await;
}

/// Sends until its buffers are full, so that the handler blocks while it sends.
async fn client_that_never_reads(guarded: &Guarded) {
    let connection = TcpStream::connect(guarded.server.authority()).await;
    let mut connection = connection.expect("the server listens");
    connection
        .write_all(&guarded.handshake("ws/header", Some(guarded.alice())))
        .await
        .expect("it reads");
    // The first byte of the response shows that the client is admitted.
    let mut response = [0; 1];
    let first = connection.read_exact(&mut response).await;
    first.expect("a response");
    let frame = frame(&".".repeat(FLOOD_MESSAGE));
    assert_ends("never reads", async {
        while connection.write_all(&frame).await.is_ok() {}
    })
    .await;
}

// --- unreachable clients -----------------------------------------------------------------------

/// One client has lost its network. The process of the other one is stopped, while its kernel still
/// accepts bytes.
#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_disconnected() {
    const INTERVAL: Duration = Duration::from_secs(2);
    let guarded = Guarded::start(&["--ping-every", &INTERVAL.as_secs().to_string()]);
    let (live, hello) = guarded.open_as("ws/header", guarded.alice()).await;
    let (sender, mut pings) = mpsc::unbounded_channel();
    let live = tokio::spawn(async move {
        let mut socket = live.into_inner();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_ping() {
                sender.send(()).expect("the test counts pings");
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
    let disconnected = async {
        while sessions().await.len() > 1 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let disconnected = timeout(2 * INTERVAL + GRACE, disconnected).await;
    assert!(disconnected.is_ok(), "{:?}", sessions().await);
    // After three more pings, the client has certainly answered two.
    while pings.try_recv().is_ok() {}
    for _ in 0..3 {
        let ping = timeout(LIMIT, pings.recv()).await;
        ping.expect("a ping").expect("it is open");
    }
    let left = sessions().await;
    assert_eq!((left.len(), &left[0]["id"]), (1, &hello["session"]));
    live.abort();
}

// --- renewal -----------------------------------------------------------------------------------

#[tokio::test]
async fn a_renewal_in_band_keeps_the_socket_and_every_message() {
    let guarded = with_lifetime(RENEWED_LIFETIME);
    let renew = async |stream: &mut NumberedMessages| {
        let message = json!({ "type": "auth", "token": guarded.alice() });
        stream.socket.send_json(&message).await;
        stream.renewals += 1;
    };
    let stream = renew_past_expiry(&guarded, renew).await;
    assert_eq!(stream.renewed.len(), stream.renewals, "one response each");
    for answer in stream.renewed {
        let left = answer["expires_in"].as_u64().expect("seconds");
        assert!((1..=RENEWED_LIFETIME.as_secs()).contains(&left), "{answer}");
    }
}

#[tokio::test]
async fn a_renewal_out_of_band_keeps_the_socket_and_every_message() {
    let guarded = with_lifetime(RENEWED_LIFETIME);
    let renew = async |stream: &mut NumberedMessages| {
        let session = json!({ "session": stream.session });
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
    let stream = renew_past_expiry(&guarded, renew).await;
    assert!(stream.renewed.is_empty(), "no response in band");
}

/// Renews a socket until another one, which was opened later and is not renewed, has expired. Numbered
/// messages are in flight during each renewal.
async fn renew_past_expiry(
    guarded: &Guarded,
    mut renew: impl AsyncFnMut(&mut NumberedMessages),
) -> NumberedMessages {
    let mut stream = NumberedMessages::open(guarded).await;
    let (mut other, _) = guarded.open_as("ws/renewable", guarded.alice()).await;
    let mut other = tokio::spawn(async move { other.close_code().await });
    loop {
        stream.send_some().await;
        renew(&mut stream).await;
        stream.send_some().await;
        stream.receive_all().await;
        // The pause limits the output of a server that logs at TRACE.
        if let Ok(code) = timeout(Duration::from_millis(200), &mut other).await {
            assert_eq!(code.expect("no panic"), EXPIRED);
            break;
        }
    }
    stream.send_some().await;
    stream.receive_all().await;
    stream
}

/// A socket that echoes numbered messages.
struct NumberedMessages {
    socket: Socket,
    session: String,
    sent: u64,
    received: u64,
    /// The number of expected responses to renewals in band.
    renewals: usize,
    renewed: Vec<Value>,
}

impl NumberedMessages {
    async fn open(guarded: &Guarded) -> Self {
        let (socket, hello) = guarded.open_as("ws/renewable", guarded.alice()).await;
        Self {
            socket,
            session: session(&hello),
            sent: 0,
            received: 0,
            renewals: 0,
            renewed: Vec::new(),
        }
    }

    async fn send_some(&mut self) {
        for _ in 0..20 {
            let number = self.sent.to_string();
            self.socket.send_text(&number).await;
            self.sent += 1;
        }
    }

    /// Receives all expected messages, and asserts that each number arrives once and in order.
    async fn receive_all(&mut self) {
        while self.received < self.sent || self.renewed.len() < self.renewals {
            match self.socket.receive_json().await {
                Value::Number(number) => {
                    assert_eq!(number.as_u64(), Some(self.received));
                    self.received += 1;
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
async fn a_renewal_by_another_subject_closes_the_socket() {
    let guarded = Guarded::start(&[]);
    let (mut socket, _) = guarded.open_as("ws/renewable", guarded.alice()).await;
    let message = json!({ "type": "auth", "token": guarded.bob });
    socket.send_json(&message).await;
    assert_eq!(socket.close_code().await, FORBIDDEN);

    let (mut socket, hello) = guarded.open_as("ws/renewable", guarded.alice()).await;
    let body = json!({ "session": session(&hello) });
    let answer = guarded.request("POST", "renew", &guarded.bob, &body).await;
    assert_eq!(answer.status(), 403, "{}", answer.body());
    assert_eq!(socket.close_code().await, FORBIDDEN);
}

/// A client without a valid credential cannot end a session.
#[tokio::test]
async fn a_renewal_with_an_invalid_credential_changes_nothing() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let (mut socket, hello) = guarded.open_as("ws/renewable", guarded.alice()).await;
    let body = json!({ "session": session(&hello) });
    let wrong = guarded.server.unknown_secret();
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
        socket.send_json(&message).await;
        let answer = socket.receive_json().await;
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
    assert_eq!(answer.status(), 401, "no ticket can be minted");
}

#[tokio::test]
async fn revoking_a_session_closes_only_its_socket() {
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
async fn only_an_administrator_can_list_and_revoke_sessions() {
    let guarded = Guarded::start(&[]);
    let (mut socket, hello) = guarded.open_as("ws/header", guarded.alice()).await;
    let wrong = guarded.server.unknown_secret();
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

/// Open sockets, pending sockets and a client that does not respond get a close frame, and the server
/// ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_closes_every_socket_with_going_away() {
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
    // Last, because pending sockets have a short time limit.
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
