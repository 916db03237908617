//! Kernel servers whose sockets end, are renewed and are taken back: two of them with one Redis,
//! and the page in a browser.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use portcullis_e2e::{Browser, RedisServer, Server, fetch, new_secret, request};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::kernels;
use crate::notebook::Notebook;

const REVOKED: u16 = 3003;

const EVENTS: &str = "api/events/subscribe";

const LIMIT: Duration = Duration::from_secs(60);

/// What is taken back at one server is closed at the other within this time of being asked for.
const PROMPT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_ticket_of_one_server_opens_a_kernel_of_the_other() {
    let pair = Pair::start();
    let id = kernels::start(pair.b.base(), pair.b.token()).await;
    let path = kernels::channels(&id);

    let ticket = pair.ticket(pair.a.token(), &path).await;
    let url = format!("{path}?ticket={ticket}");
    let mut socket = open(&pair.b, &url).await.expect("the ticket is good");
    assert_eq!(run(&mut socket, "print(6 * 7)").await, "42\n");

    let [here, there] = [&pair.a, &pair.b].map(|server| open(server, &url));
    assert_eq!(there.await.err(), Some(StatusCode::FORBIDDEN));
    assert_eq!(here.await.err(), Some(StatusCode::FORBIDDEN));
    assert_eq!(run(&mut socket, "print('still')").await, "still\n");
}

#[tokio::test]
async fn what_one_server_takes_back_closes_at_the_other() {
    let pair = Pair::start();
    // A guest of the first server, who is with the second one by tickets.
    let guest = Guest::of(&pair.a).await;
    pair.b.keep_secret(&guest.token);
    let mut guests = Vec::new();
    for _ in 0..3 {
        let ticket = pair.ticket(&guest.token, EVENTS).await;
        let url = format!("{EVENTS}?ticket={ticket}");
        guests.push(open(&pair.b, &url).await.expect("the ticket is good"));
    }
    let unused = pair.ticket(&guest.token, EVENTS).await;
    let mut owner = pair.open_as_owner().await;
    let mut second = pair.open_as_owner().await;

    let began = Instant::now();
    ask(&pair.a, "DELETE", &format!("api/share/{}", guest.id), "").await;
    for socket in &mut guests {
        assert_eq!(prompt_close_code(socket, began).await, REVOKED);
    }
    report("a link", began);
    let late = open(&pair.b, &format!("{EVENTS}?ticket={unused}")).await;
    assert_eq!(late.err(), Some(StatusCode::FORBIDDEN));
    assert_is_open(&mut owner).await;

    // One session, which the second server has and the first one is told to take back.
    let sessions = sessions(&pair.b).await;
    let first = sessions.iter().find(|one| one["subject"] == "owner");
    let body = json!({ "session": first.expect("it is listed")["session"] }).to_string();
    let began = Instant::now();
    ask(&pair.a, "POST", "api/portcullis/revoke", &body).await;
    assert_eq!(prompt_close_code(&mut owner, began).await, REVOKED);
    report("a session", began);
    assert_is_open(&mut second).await;

    let body = json!({ "subject": "owner" }).to_string();
    let began = Instant::now();
    ask(&pair.a, "POST", "api/portcullis/revoke", &body).await;
    assert_eq!(prompt_close_code(&mut second, began).await, REVOKED);
    report("a subject", began);
    pair.open_as_owner().await;
}

#[tokio::test]
async fn the_page_renews_its_socket_while_a_cell_prints() {
    let server = Server::kernels()
        .argument("--session-lifetime")
        .argument("6")
        .start();
    let browser = Browser::start().await;
    browser.open(server.link()).await;
    let notebook = Notebook::ready(&browser).await;
    browser.element("#countdown:not([hidden])").await;
    let before = sessions(&server).await;

    let cell = notebook.run(PRINTING).await;
    let lines: Vec<_> = (0..40).map(|line| line.to_string()).collect();
    assert_eq!(notebook.output(cell).await, lines.join("\n"));
    let renewals = browser
        .run(
            "return Number(document.getElementById('countdown').dataset.renewals);",
            Vec::new(),
        )
        .await;
    assert!(renewals.as_u64() >= Some(2), "{renewals}");
    // One and the same socket, for more than two of its lifetimes.
    let after = sessions(&server).await;
    assert_eq!(after[0]["session"], before[0]["session"]);
    assert_ne!(after[0]["until"], before[0]["until"]);

    let count = "return Number(document.getElementById('countdown').dataset.renewals);";
    let earlier = browser.run(count, Vec::new()).await.as_u64();
    press(&browser, "#countdown").await;
    let more = earlier.map_or(0, |count| count + 1);
    let wait = format!(
        "const count = () => {{ {count} }};
         while (count() < {more}) await new Promise(requestAnimationFrame);"
    );
    browser.run(&wait, Vec::new()).await;
}

/// Forty lines in sixteen seconds.
const PRINTING: &str =
    "import time; [print(n, flush=True) or time.sleep(0.4) for n in range(40)] and None";

#[tokio::test]
async fn the_page_takes_links_and_sessions_back() {
    let server = Server::kernels().start();
    let owner = Browser::start().await;
    owner.open(server.link()).await;
    Notebook::ready(&owner).await;
    let (first, second) = (share(&owner, &server).await, share(&owner, &server).await);
    let (first_link, first_name) = first;
    let (second_link, second_name) = second;
    let token = second_link.split_once("token=").expect("a link").1;
    let mut other = open(&server, &format!("{EVENTS}?token={token}"))
        .await
        .expect("the link is good");
    let guest = Browser::start().await;
    guest.open(&first_link).await;
    let notebook = Notebook::ready(&guest).await;
    notebook.run("x = 1").await;
    // What only the owner may, the page does not offer to a guest.
    let offered =
        "return ['share', 'people-open'].filter(id => !document.getElementById(id).hidden);";
    assert_eq!(guest.run(offered, Vec::new()).await, json!([]));

    press(&owner, "#share").await;
    press(
        &owner,
        &format!("#share-dialog[open] [data-guest='{first_name}'] button"),
    )
    .await;
    guest.element("#kernel[data-state=signed-out]").await;
    let notice = guest.element("#notice-text").await.text().await;
    let notice = notice.expect("a text");
    assert!(notice.contains("3003: credential revoked"), "{notice}");
    assert_is_open(&mut other).await;
    for width in [1280, 390] {
        owner.screenshot("kernel-server-share", width).await;
    }
    press(&owner, "#share-close").await;

    owner.open(&format!("{}#people", server.base())).await;
    owner
        .client()
        .refresh()
        .await
        .expect("the page loads again");
    let row = format!("#people-dialog[open] [data-subject='{second_name}']");
    owner.element(&row).await;
    for width in [1280, 390] {
        owner.screenshot("kernel-server-people", width).await;
    }
    press(&owner, &format!("{row} button")).await;
    assert_eq!(close_code(&mut other, LIMIT).await, REVOKED);

    // The owner's own: the page says so, and comes back when it is told to.
    press(&owner, "#people-dialog[open] [data-subject=owner] button").await;
    owner.element("#kernel[data-state=revoked]").await;
    press(&owner, "#people-close").await;
    press(&owner, "#notice-action").await;
    Notebook::ready(&owner).await;
}

// --- helpers -----------------------------------------------------------------------------------

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Two servers with one token and one Redis.
struct Pair {
    a: Server,
    b: Server,
    _redis: RedisServer,
}

impl Pair {
    fn start() -> Self {
        let redis = RedisServer::start();
        let token = new_secret();
        let start = || {
            Server::kernels()
                .told(&token)
                .argument("--redis")
                .argument(&redis.url())
                .start()
        };
        Self {
            a: start(),
            b: start(),
            _redis: redis,
        }
    }

    /// A ticket from the first server.
    async fn ticket(&self, token: &str, path: &str) -> String {
        let body = json!({ "path": format!("/{path}") }).to_string();
        let answer = ask_as(&self.a, token, "POST", "api/portcullis/ticket", &body).await;
        let ticket = answer["ticket"].as_str().expect("a ticket").to_owned();
        self.a.keep_secret(&ticket);
        self.b.keep_secret(&ticket);
        ticket
    }

    /// A socket of the second server.
    async fn open_as_owner(&self) -> Socket {
        let url = format!("{EVENTS}?token={}", self.b.token());
        open(&self.b, &url).await.expect("the token is good")
    }
}

/// Who was sent a link.
struct Guest {
    id: String,
    token: String,
}

impl Guest {
    async fn of(server: &Server) -> Self {
        let link = ask(server, "POST", "api/share", "").await;
        let text = |name: &str| link[name].as_str().expect("a text").to_owned();
        let (id, url) = (text("id"), text("url"));
        let token = url.split_once("token=").expect("a link").1.to_owned();
        server.keep_secret(&token);
        Self { id, token }
    }
}

async fn ask(server: &Server, method: &str, path: &str, body: &str) -> Value {
    ask_as(server, server.token(), method, path, body).await
}

async fn ask_as(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Value {
    let url = format!("{}{path}", server.base());
    let response = fetch(request(method, &url, Some(token), body)).await;
    let status = response.status();
    assert_eq!(status, StatusCode::OK, "{path}: {}", response.body());
    serde_json::from_str(response.body()).expect("JSON")
}

/// Who is connected, the oldest first.
async fn sessions(server: &Server) -> Vec<Value> {
    let answer = ask(server, "GET", "api/portcullis/sessions", "").await;
    answer["sessions"].as_array().expect("a list").clone()
}

/// Opens a socket, or tells with what status it is refused.
async fn open(server: &Server, path: &str) -> Result<Socket, StatusCode> {
    let url = format!("{}{path}", server.websocket_base());
    let connected = timeout(LIMIT, connect_async(url)).await;
    match connected.expect("an answer in time") {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            Err(StatusCode::from_u16(response.status().as_u16()).expect("a status"))
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs a cell in the older of Jupyter's formats, which needs no subprotocol; what it wrote.
async fn run(socket: &mut Socket, code: &str) -> String {
    let request = json!({
        "header": {
            "msg_id": new_secret(), "msg_type": "execute_request", "username": "",
            "session": "live", "date": "2026-01-01T00:00:00Z", "version": "5.4",
        },
        "parent_header": {}, "metadata": {}, "channel": "shell", "buffers": [],
        "content": { "code": code, "silent": false },
    });
    let id = &request["header"]["msg_id"];
    let message = Message::text(request.to_string());
    socket.send(message).await.expect("the socket is open");
    let mut text = String::new();
    loop {
        let message = timeout(LIMIT, socket.next()).await.expect("in time");
        let Message::Text(message) = message.expect("the socket is open").expect("a message")
        else {
            continue;
        };
        let message: Value = serde_json::from_str(&message).expect("JSON");
        if message["parent_header"]["msg_id"] != *id {
            continue;
        }
        let content = &message["content"];
        match message["header"]["msg_type"].as_str() {
            Some("stream") => text += content["text"].as_str().expect("a text"),
            Some("status") if content["execution_state"] == "idle" => return text,
            _ => {}
        }
    }
}

/// Reads until the server closes the socket; with what code.
async fn close_code(socket: &mut Socket, limit: Duration) -> u16 {
    let read = async {
        loop {
            match socket.next().await.expect("a close frame comes first") {
                Ok(Message::Close(frame)) => break frame.expect("it has a code").code.into(),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(limit, read).await.expect("it is closed in time")
}

/// The same, of a socket that what was asked for at `began` closes.
async fn prompt_close_code(socket: &mut Socket, began: Instant) -> u16 {
    close_code(socket, PROMPT.saturating_sub(began.elapsed())).await
}

/// It answers a ping.
async fn assert_is_open(socket: &mut Socket) {
    let ping = Message::Ping("?".into());
    socket.send(ping).await.expect("the socket is open");
    loop {
        let message = timeout(LIMIT, socket.next()).await.expect("in time");
        match message.expect("the socket is open").expect("a message") {
            Message::Pong(_) => return,
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

fn report(what: &str, began: Instant) {
    println!(
        "{what}, taken back at one server, was closed at the other after {:?}",
        began.elapsed()
    );
}

/// Makes a link in the page; the link, and the name of its guest.
async fn share(owner: &Browser, server: &Server) -> (String, String) {
    press(owner, "#share").await;
    owner.element("#share-dialog[open]").await;
    let shown = owner
        .run(
            "return [document.getElementById('share-url').value,
                     [...document.querySelectorAll('[data-guest]')].at(-1).dataset.guest];",
            Vec::new(),
        )
        .await;
    press(owner, "#share-close").await;
    let text = |index: usize| shown[index].as_str().expect("a text").to_owned();
    let (link, name) = (text(0), text(1));
    server.keep_secret(link.split_once("token=").expect("a link").1);
    (link, name)
}

/// Presses what can be pressed, once it is there.
async fn press(browser: &Browser, selector: &str) {
    let element = browser.element(selector).await;
    element.click().await.expect("it can be pressed");
}
