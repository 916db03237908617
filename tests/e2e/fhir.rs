//! The server of FHIR subscriptions: its notifications, its binding tokens, FHIRcast, and its page.
//!
//! Whatever it sends is read by the Python package `fhir.resources`.

use std::time::Duration;

use http::{Request, header};
use portcullis_e2e::{BindingToken, Browser, Fhir, Server, faults, fetch, new_secret};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::guarded::{LIMIT, Socket};

// --- notifications -----------------------------------------------------------------------------

/// The whole of it: tokens of five seconds, a socket that outlives four of them, events all the
/// while, a disconnect, and what came in between.
#[tokio::test]
async fn no_event_is_lost_or_doubled_while_tokens_end() {
    let server = Server::fhir()
        .argument("--token-lifetime")
        .argument("5")
        .start();
    let alice = Fhir::new(&server, server.token());
    let subscription = alice
        .subscribe(json!({ "content": "full-resource", "heartbeatPeriod": 60 }))
        .await;
    let mut token = alice.binding_token(&subscription).await;
    let first_token = token.clone();
    let mut line = Line::bind(&token).await;
    let handshake = line.status("handshake").await;
    assert_eq!(handshake["eventsSinceSubscriptionStart"], "0");

    // Fewer than a queue holds: a busy machine is not to be a client that reads too slowly.
    let under_way = Semaphore::new(100);
    let (admitted, ()) = tokio::join!(
        async {
            let mut admitted = Vec::new();
            while let Ok(one) = under_way.acquire().await {
                one.forget();
                admitted.push(alice.admit("Patient/1").await);
            }
            admitted
        },
        async {
            let mut tokens = 1;
            // Until the first of them have long ended, and the socket lives by the fifth.
            while tokens < 5 || OffsetDateTime::now_utc() < token.expires_at - HALF {
                line.notification().await;
                under_way.add_permits(1);
                if tokens < 5 && OffsetDateTime::now_utc() > token.expires_at - HALF {
                    token = alice.binding_token(&subscription).await;
                    assert_eq!(token.url, first_token.url);
                    line.bind_again(&token).await;
                    tokens += 1;
                }
            }
            under_way.close();
        }
    );
    // Nobody binds again: the rest comes, and then the socket ends with its token.
    let code = line.read_to_the_end().await;
    assert_eq!(code, EXPIRED, "the socket ends with its last token");
    assert!(OffsetDateTime::now_utc() >= token.expires_at);
    assert_eq!(line.handshakes(), 5);
    let total = admitted.len() as u64;
    assert!(total > 4, "there was something to lose");
    assert_eq!(line.numbers(), (1..=total).collect::<Vec<_>>());
    assert_eq!(line.foci(), admitted);

    // What happens while nobody listens is there to be asked for.
    let mut missed = Vec::new();
    for _ in 0..5 {
        missed.push(alice.admit("Patient/2").await);
    }
    let mut again = Line::bind(&alice.binding_token(&subscription).await).await;
    let handshake = again.status("handshake").await;
    let count = (total + 5).to_string();
    assert_eq!(handshake["eventsSinceSubscriptionStart"], *count);
    let since = total + 1;
    let path = format!("Subscription/{subscription}/$events?eventsSinceNumber={since}");
    let caught = alice
        .get(&format!("{path}&eventsUntilNumber={count}"))
        .await;
    let mut log = Log::default();
    log.take(caught);
    assert_eq!(log.numbers(), (since..=total + 5).collect::<Vec<_>>());
    assert_eq!(log.foci(), missed);
    let next = alice.admit("Patient/3").await;
    again.notification().await;
    assert_eq!(again.numbers(), [total + 6]);
    assert_eq!(again.foci(), [next]);

    let all = [line.log.bundles, again.log.bundles, log.bundles].concat();
    assert_eq!(faults(&all).await, [""; 0]);
}

#[tokio::test]
async fn every_resource_is_one_of_r5() {
    let server = Server::fhir().start();
    let alice = Fhir::new(&server, server.token());
    let mut resources = Vec::new();
    for content in ["empty", "id-only", "full-resource"] {
        let more = json!({
            "content": content,
            "heartbeatPeriod": 1,
            "filterBy": [{ "filterParameter": "patient", "value": "Patient/1" }],
        });
        let id = alice.subscribe(more).await;
        let mut line = Line::bind(&alice.binding_token(&id).await).await;
        line.status("handshake").await;
        alice.admit("Patient/2").await;
        alice.admit("Patient/1").await;
        line.status("event-notification").await;
        line.status("heartbeat").await;
        set_off(&server, &alice, &id).await;
        while line.status("heartbeat").await["status"] != "off" {}
        resources.append(&mut line.log.bundles);
        for path in [
            format!("Subscription/{id}"),
            format!("Subscription/{id}/$status"),
            format!("Subscription/{id}/$get-ws-binding-token"),
            format!("Subscription/{id}/$events?content=empty"),
            format!("Subscription/{id}/$events?content=id-only"),
            format!("Subscription/{id}/$events?content=full-resource"),
        ] {
            resources.push(alice.get(&path).await);
        }
    }
    for path in [
        "metadata",
        "Encounter/1",
        "Subscription",
        "Subscription/$status",
        "SubscriptionTopic",
        "SubscriptionTopic/encounter-end",
    ] {
        resources.push(alice.get(path).await);
    }
    let missing = format!("{}fhir/Subscription/none", server.base());
    let nobody = Request::get(missing).body(String::new()).unwrap();
    resources.push(serde_json::from_str(fetch(nobody).await.body()).unwrap());
    assert_eq!(
        resources.last().unwrap()["resourceType"],
        "OperationOutcome"
    );
    assert_eq!(faults(&resources).await, [""; 0]);

    // A judge that finds no fault in anything would not be worth much.
    let mut bundle = resources[1].clone();
    bundle["entry"][0]["resource"]["type"] = json!("event-notifications");
    let mut status = resources[1].clone();
    let fields = status["entry"][0]["resource"].as_object_mut().unwrap();
    fields.remove("subscription");
    assert_eq!(faults(&[bundle, status]).await.len(), 2);
}

// --- binding tokens ----------------------------------------------------------------------------

#[tokio::test]
async fn nothing_is_told_to_who_has_not_bound() {
    let bob = new_secret();
    let server = Server::fhir()
        .argument("--user")
        .argument(&format!("bob={bob}"))
        .start();
    server.keep_secret(&bob);
    let alice = Fhir::new(&server, server.token());
    let subscription = alice.subscribe(json!({})).await;
    let first = alice.binding_token(&subscription).await;

    for word in [
        format!("bind-with-token {}", server.foreign_secret()),
        format!("bind-with-token {}", server.token()),
        format!("bind-with-token {subscription}"),
        "bind-with-token".to_owned(),
        "hello".to_owned(),
    ] {
        let mut socket = Socket::open(&first.url, &[]).await.unwrap();
        socket.say(&word).await;
        alice.admit("Patient/1").await;
        // A dialect may say why; then it closes.
        let code = loop {
            match socket.next().await {
                Message::Text(text) => {
                    assert!(text.contains("OperationOutcome"), "{text}");
                }
                Message::Close(Some(frame)) => {
                    break u16::from(frame.code);
                }
                other => panic!("{other:?}"),
            }
        };
        assert!(code >= 1002, "{code}");
    }

    // A second token that is none, or has ended, is answered, and the socket goes on.
    let mut line = Line::bind(&first).await;
    line.status("handshake").await;
    let wrong = server.foreign_secret();
    line.socket.say(&format!("bind-with-token {wrong}")).await;
    assert_eq!(
        line.socket.hear_json().await["resourceType"],
        "OperationOutcome"
    );
    alice.admit("Patient/1").await;
    line.status("event-notification").await;

    // Somebody else's token is not for this socket.
    let bob = Fhir::new(&server, &bob);
    let of_bob = bob.binding_token(&bob.subscribe(json!({})).await).await;
    line.socket
        .say(&format!("bind-with-token {}", of_bob.token))
        .await;
    let code = line.read_to_the_end().await;
    assert!(code >= 1002, "{code}");
    assert_eq!(line.numbers().len(), 1);
}

// --- FHIRcast ----------------------------------------------------------------------------------

#[tokio::test]
async fn fhircast_has_its_secret_in_the_address() {
    let server = Server::fhir()
        .argument("--token-lifetime")
        .argument("4")
        .start();
    let post = async |kind: &str, body: String| {
        let request = Request::post(format!("{}fhircast", server.base()))
            .header(header::AUTHORIZATION, format!("Bearer {}", server.token()))
            .header(header::CONTENT_TYPE, kind);
        fetch(request.body(body).unwrap()).await
    };
    let form = "hub.channel.type=websocket&hub.mode=subscribe&hub.topic=t1\
                &hub.events=Patient-open&hub.lease_seconds=7200";
    let answer = post("application/x-www-form-urlencoded", form.to_owned()).await;
    assert_eq!(answer.status(), 202, "{}", answer.body());
    let answer: Value = serde_json::from_str(answer.body()).unwrap();
    let url = answer["hub.channel.endpoint"].as_str().unwrap();
    let secret = url.rsplit('/').next().unwrap();
    assert!(secret.len() >= 22, "128 bits and more");
    server.keep_secret(secret);

    let mut socket = Socket::open(url, &[]).await.unwrap();
    let confirmation = socket.hear_json().await;
    assert_eq!(confirmation["hub.mode"], "subscribe");
    assert_eq!(confirmation["hub.lease_seconds"], 4);
    let event = json!({
        "timestamp": "2026-11-22T05:00:00Z",
        "id": "1",
        "event": { "hub.topic": "t1", "hub.event": "Patient-open", "context": [] },
    });
    let answer = post("application/json", event.to_string()).await;
    assert_eq!(answer.status(), 202, "{}", answer.body());
    assert_eq!(socket.hear_json().await, event);
    socket
        .say_json(&json!({ "id": "1", "status": "200" }))
        .await;

    assert_eq!(socket.hear_json().await["hub.mode"], "denied");
    assert_eq!(socket.close_code().await, 1000);
    for url in [
        url.to_owned(),
        url.replace(secret, &server.foreign_secret()),
    ] {
        let mut socket = Socket::open(&url, &[]).await.unwrap();
        assert_eq!(socket.hear_json().await["hub.mode"], "denied");
        assert_eq!(socket.close_code().await, 1000);
    }
}

// --- the page ----------------------------------------------------------------------------------

#[tokio::test]
async fn the_page_lives_longer_than_its_tokens() {
    let server = Server::fhir()
        .argument("--token-lifetime")
        .argument("6")
        .start();
    let alice = Fhir::new(&server, server.token());
    let browser = Browser::start().await;
    browser.open(server.base()).await;
    let field = browser.element("#token").await;
    field.send_keys(server.token()).await.expect("a field");
    press(&browser, "#subscribe").await;
    browser.element(":root[data-state=live]").await;
    for _ in 0..3 {
        press(&browser, "#trigger").await;
    }
    until(
        &browser,
        "portcullisFhir.received === 3 && portcullisFhir.bindings >= 4",
    )
    .await;
    press(&browser, "#trigger").await;
    until(&browser, "portcullisFhir.received === 4").await;
    for width in [1280, 390] {
        browser.screenshot("fhir-subscriptions", width).await;
    }
    let told = browser.run("return portcullisFhir;", Vec::new()).await;
    assert_eq!(told["sockets"], 1, "{told}");
    assert_eq!(told["numbers"], json!([1, 2, 3, 4]), "{told}");

    press(&browser, "#disconnect").await;
    browser.element(":root[data-state=closed]").await;
    for _ in 0..2 {
        alice.admit("Patient/7").await;
    }
    press(&browser, "#reconnect").await;
    until(&browser, "portcullisFhir.received === 6").await;
    press(&browser, "#trigger").await;
    until(&browser, "portcullisFhir.received === 7").await;
    let told = browser.run("return portcullisFhir;", Vec::new()).await;
    assert_eq!(told["sockets"], 2, "{told}");
    assert_eq!(told["caught"], 2, "{told}");
    for count in ["lost", "twice"] {
        assert_eq!(told[count], 0, "{told}");
    }
    assert_eq!(told["numbers"], json!([1, 2, 3, 4, 5, 6, 7]), "{told}");
}

/// A lease is prolonged, the socket is lost and comes back, and the end is told: once because it was
/// asked for, once because the lease has ended.
#[tokio::test]
async fn the_page_follows_a_topic_until_it_is_denied() {
    let server = Server::fhir()
        .argument("--token-lifetime")
        .argument("600")
        .start();
    let browser = Browser::start().await;
    browser.open(server.base()).await;
    let field = browser.element("#token").await;
    field.send_keys(server.token()).await.expect("a field");
    press(&browser, "#cast-subscribe").await;
    browser.element(":root[data-cast=live]").await;
    press(&browser, "#cast-trigger").await;
    until(&browser, "portcullisCast.events === 1").await;
    press(&browser, "#cast-prolong").await;
    until(&browser, "portcullisCast.leases === 2").await;
    for width in [1280, 390] {
        browser.screenshot("fhircast", width).await;
    }
    let shown = "return document.querySelector('.cast').innerText;";
    let shown = browser.run(shown, Vec::new()).await;
    let shown = shown.as_str().unwrap();
    assert!(shown.contains("/fhircast/•••"), "{shown}");

    // The address is good for another socket, whose confirmation is the third.
    press(&browser, "#cast-disconnect").await;
    browser.element(":root[data-cast=closed]").await;
    press(&browser, "#cast-reconnect").await;
    browser.element(":root[data-cast=live]").await;
    let told = browser.run("return portcullisCast;", Vec::new()).await;
    assert_eq!(told["sockets"], 2, "{told}");
    press(&browser, "#cast-unsubscribe").await;
    browser.element(":root[data-cast=denied]").await;
    let told = browser.run("return portcullisCast;", Vec::new()).await;
    assert_eq!(told["reason"], "unsubscribed", "{told}");

    let lease = browser.element("#cast-lease").await;
    lease.clear().await.expect("a field can be emptied");
    lease.send_keys("2").await.expect("a field takes a number");
    press(&browser, "#cast-subscribe").await;
    let over = "portcullisCast.leases === 1 && portcullisCast.reason === 'The lease has ended.'";
    until(&browser, over).await;
}

#[tokio::test]
async fn the_page_says_what_is_wrong() {
    let server = Server::fhir().start();
    let browser = Browser::start().await;
    browser.open(server.base()).await;
    let field = browser.element("#token").await;
    let wrong = server.foreign_secret();
    field.send_keys(&wrong).await.expect("a field");
    press(&browser, "#subscribe").await;
    browser.element("#summary[data-state=problem]").await;
    press(&browser, "#cast-subscribe").await;
    browser.element("#cast-summary[data-state=problem]").await;
    let state = "return document.documentElement.dataset.state;";
    assert_eq!(browser.run(state, Vec::new()).await, "idle");
}

async fn press(browser: &Browser, selector: &str) {
    let enabled = format!("{selector}:not([hidden]):enabled");
    let button = browser.element(&enabled).await;
    button.click().await.expect("a button can be pressed");
}

/// Waits until an expression is true in the page.
async fn until(browser: &Browser, condition: &str) {
    let script = format!(
        "const end = Date.now() + 60_000;
         while (!({condition})) {{
           if (Date.now() > end) throw new Error(JSON.stringify([portcullisFhir, portcullisCast]));
           await new Promise(resolve => setTimeout(resolve, 50));
         }}"
    );
    browser.run(&script, Vec::new()).await;
}

// --- helpers -----------------------------------------------------------------------------------

async fn set_off(server: &Server, alice: &Fhir<'_>, id: &str) {
    let path = format!("Subscription/{id}");
    let mut resource = alice.get(&path).await;
    resource["status"] = json!("off");
    let request = Request::put(format!("{}fhir/{path}", server.base()))
        .header(header::AUTHORIZATION, format!("Bearer {}", server.token()))
        .header(header::CONTENT_TYPE, "application/fhir+json");
    let answer = fetch(request.body(resource.to_string()).unwrap()).await;
    assert_eq!(answer.status(), 200, "{}", answer.body());
}

/// What the session closes with when its credential has ended.
const EXPIRED: u16 = 3000;

const HALF: time::Duration = time::Duration::milliseconds(2500);

/// A socket with tokens bound on it, and all that came.
struct Line {
    socket: Socket,
    log: Log,
}

impl Line {
    async fn bind(token: &BindingToken) -> Self {
        let socket = Socket::open(&token.url, &[]).await.expect("it opens");
        let log = Log::default();
        let mut line = Self { socket, log };
        line.bind_again(token).await;
        line
    }

    async fn bind_again(&mut self, token: &BindingToken) {
        let word = format!("bind-with-token {}", token.token);
        self.socket.say(&word).await;
    }

    /// The next notification.
    async fn notification(&mut self) -> &Value {
        let bundle = self.socket.hear_json().await;
        self.log.take(bundle)
    }

    /// The status of the next notification, which has to be of this kind.
    async fn status(&mut self, kind: &str) -> Value {
        let status = self.notification().await;
        assert_eq!(status["type"], kind, "{status}");
        status.clone()
    }

    /// Everything until the server closes the socket; with what code.
    async fn read_to_the_end(&mut self) -> u16 {
        let read = async {
            loop {
                match self.socket.next().await {
                    Message::Text(text) => {
                        let resource: Value = serde_json::from_str(&text).unwrap();
                        if resource["resourceType"] == "Bundle" {
                            self.log.take(resource);
                        }
                    }
                    Message::Close(Some(frame)) => return frame.code.into(),
                    other => panic!("{other:?}"),
                }
            }
        };
        timeout(LIMIT + Duration::from_secs(10), read)
            .await
            .expect("the server closes")
    }

    fn numbers(&self) -> Vec<u64> {
        self.log.numbers()
    }

    fn foci(&self) -> Vec<String> {
        self.log.foci()
    }

    fn handshakes(&self) -> usize {
        let statuses = self.log.bundles.iter().map(status);
        statuses
            .filter(|status| status["type"] == "handshake")
            .count()
    }
}

#[derive(Default)]
struct Log {
    bundles: Vec<Value>,
}

impl Log {
    fn take(&mut self, bundle: Value) -> &Value {
        assert_eq!(bundle["type"], "subscription-notification", "{bundle}");
        self.bundles.push(bundle);
        status(&self.bundles[self.bundles.len() - 1])
    }

    /// The numbers of the events, in the order they came.
    fn numbers(&self) -> Vec<u64> {
        let numbers = self.events().map(|event| &event["eventNumber"]);
        numbers
            .map(|number| number.as_str().unwrap().parse().unwrap())
            .collect()
    }

    /// The names of the encounters that the events are about.
    fn foci(&self) -> Vec<String> {
        let foci = self.events().map(|event| &event["focus"]["reference"]);
        foci.map(|focus| {
            let (_, id) = focus.as_str().unwrap().rsplit_once('/').unwrap();
            id.to_owned()
        })
        .collect()
    }

    fn events(&self) -> impl Iterator<Item = &Value> {
        let events = self
            .bundles
            .iter()
            .map(|bundle| &status(bundle)["notificationEvent"]);
        events.flat_map(|events| events.as_array().into_iter().flatten())
    }
}

fn status(bundle: &Value) -> &Value {
    &bundle["entry"][0]["resource"]
}
