//! The administration of a kernel server: its audit log, and the list of sessions on its page.

use futures_util::StreamExt as _;
use http::Request;
use portcullis_e2e::{Browser, Server, Signal, fetch, leaks, request};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::guarded::{LIMIT, Socket, json_of};

const FORBIDDEN: u16 = 3003;

/// Logins, renewals, a refused renewal, a revocation and the shutdown of the server each add a line,
/// and no line contains a secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_contains_every_event_of_a_session() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("audit.jsonl");
    let mut server = Server::kernels()
        .argument("--session-lifetime")
        .argument("600")
        .argument("--audit-log")
        .argument(file.to_str().expect("a path in UTF-8"))
        .start();
    let cookie = cookie_of_the_link(&server).await;
    let origin = server.base().trim_end_matches('/').to_owned();
    let own = [("cookie", &*cookie), ("origin", &*origin)];
    let mut owner = follow_events(&server, "", &own).await;
    let wanted = json!({ "expires_in": 300 });
    let link = as_owner(&server, "POST", "api/share", &wanted).await;
    let (_, token) = link["url"].as_str().unwrap().split_once("token=").unwrap();
    server.keep_secret(token);
    let mut guest = follow_events(&server, &format!("?token={token}"), &[]).await;

    let sessions = as_owner(&server, "GET", "api/portcullis/sessions", &Value::Null).await;
    let id_of = |subject: &Value| {
        let all = sessions["sessions"].as_array().unwrap();
        let found = all.iter().find(|one| one["subject"] == *subject);
        json!({ "session": found.expect("it is listed")["session"] })
    };
    let (of_owner, of_guest) = (id_of(&json!("owner")), id_of(&link["guest"]));
    as_owner(&server, "POST", "api/portcullis/renew", &of_owner).await;
    // A request does not extend the lifetime of a link.
    let url = format!("{}api/portcullis/renew", server.base());
    let renewal = request("POST", &url, Some(token), &of_guest.to_string());
    assert_eq!(fetch(renewal).await.status(), 409);
    let what = json!({ "subject": link["guest"] });
    as_owner(&server, "POST", "api/portcullis/revoke", &what).await;
    assert_eq!(guest.close_code().await, FORBIDDEN);
    let owner = tokio::spawn(async move { owner.close_code().await });
    let stop = || server.process().stop(Signal::TERM, LIMIT);
    assert!(tokio::task::block_in_place(stop).success());
    assert_eq!(owner.await.expect("no panic"), 1001);

    let log = std::fs::read_to_string(&file).expect("the log is there");
    let secrets = [server.token(), token, cookie.split_once('=').unwrap().1].map(str::to_owned);
    assert_eq!(leaks(&log, &secrets), [""; 0], "{log}");
    let mut lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    // The two clients can finish their close handshakes in any order.
    lines[6..].sort_by_key(|line| line["cause"].to_string());
    let events = lines.iter().map(|line| {
        let subject = line.pointer("/what/subject").unwrap_or(&line["subject"]);
        let user = if *subject == link["guest"] {
            "guest"
        } else {
            "owner"
        };
        format!("{} {user}", line["event"].as_str().unwrap())
    });
    let expected = [
        "opened owner",
        "shared guest",
        "opened guest",
        "renewed owner",
        "renewal-refused guest",
        "revoked guest",
        "closed guest",
        "closed owner",
    ];
    assert_eq!(events.collect::<Vec<_>>(), expected, "{log}");
    assert_eq!(lines[0]["carrier"], "cookie");
    assert_eq!(lines[0]["session"], of_owner["session"]);
    assert!(lines[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(lines[2]["carrier"], "query");
    assert_eq!(lines[2]["token_id"], link["id"]);
    assert_ne!(lines[3]["until"], lines[0]["until"]);
    assert!(lines[4]["why"].is_string());
    assert_eq!(lines[5]["by"], "owner");
    assert_eq!(lines[6]["cause"], "revoked");
    assert_eq!(lines[7]["cause"], "shutdown");
    assert!(lines[6]["lasted_seconds"].as_f64() > Some(0.0));
}

/// The page offers to disconnect each session, and to revoke a credential where that is possible.
#[tokio::test]
async fn the_page_offers_the_possible_actions_for_each_session() {
    let server = Server::kernels().start();
    let link = as_owner(&server, "POST", "api/share", &Value::Null).await;
    let (_, token) = link["url"].as_str().unwrap().split_once("token=").unwrap();
    server.keep_secret(token);
    let query = format!("?token={token}");
    let browser = Browser::start().await;
    browser.open(server.link()).await;
    browser.element("#kernel[data-state=idle]").await;
    // After the start of the kernel, so that the socket receives no event of it.
    let guest = follow_events(&server, &query, &[]).await;
    // A task reads the socket, so that it answers pings while the browser is busy.
    let mut guest = guest.into_inner();
    let guest = tokio::spawn(async move {
        loop {
            match guest.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    browser.open(&format!("{}#people", server.base())).await;
    browser.client().refresh().await.expect("the page loads");
    browser.element("#people [data-subject=owner]").await;
    let offered =
        "return Object.fromEntries([...document.querySelectorAll('#people li')].map(row =>
         [row.dataset.subject, [...row.querySelectorAll('button')].map(it => it.textContent)]));";
    let name = link["guest"].as_str().unwrap();
    let expected = json!({ "owner": ["Disconnect"], name: ["Disconnect", "Revoke"] });
    assert_eq!(browser.run(offered, Vec::new()).await, expected);

    let revoke = format!("#people [data-subject={name}] button:last-child");
    let button = browser.element(&revoke).await;
    button.click().await.expect("a button can be pressed");
    let code = timeout(LIMIT, guest).await.expect("it is closed in time");
    assert_eq!(code.expect("no panic"), FORBIDDEN);
    let url = format!("{}api/events/subscribe{query}", server.websocket_base());
    let refused = Socket::open(&url, &[]).await.err();
    assert_eq!(refused.map(|status| status.as_u16()), Some(403));
}

/// Opens a socket and waits for a pong, which shows that its handler has started.
async fn follow_events(server: &Server, query: &str, headers: &[(&str, &str)]) -> Socket {
    let url = format!("{}api/events/subscribe{query}", server.websocket_base());
    let mut socket = Socket::open(&url, headers).await.expect("it opens");
    socket.send(Message::Ping("?".into())).await;
    assert_eq!(socket.next().await, Message::Pong("?".into()));
    socket
}

/// Returns the cookie that a browser has after the login link.
async fn cookie_of_the_link(server: &Server) -> String {
    let link = Request::get(server.link()).header("accept", "text/html");
    let answer = fetch(link.body(String::new()).unwrap()).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    server.keep_secret(cookie.split_once('=').unwrap().1);
    cookie
}

async fn as_owner(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let url = format!("{}{path}", server.base());
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = fetch(request(method, &url, Some(server.token()), &body)).await;
    assert_eq!(answer.status(), 200, "{path}: {}", answer.body());
    json_of(&answer)
}
