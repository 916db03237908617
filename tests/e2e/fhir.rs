//! The server of FHIR subscriptions: its notifications, its binding tokens, FHIRcast, and its page.
//!
//! The Python package `fhir.resources` validates every resource that the server sends.

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

/// The tokens have a lifetime of five seconds, and the socket stays open for five of them while events
/// occur. Then the client disconnects, and catches up with the missed events.
#[tokio::test]
async fn no_event_is_lost_or_repeated_while_tokens_expire() {
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
    let mut subscriber = Subscriber::bind(&token).await;
    let handshake = subscriber.status("handshake").await;
    assert_eq!(handshake["eventsSinceSubscriptionStart"], "0");

    // Fewer than the queue of the server holds, so that a busy machine is not a slow reader.
    let in_flight = Semaphore::new(100);
    let (admitted, ()) = tokio::join!(
        async {
            let mut admitted = Vec::new();
            while let Ok(permit) = in_flight.acquire().await {
                permit.forget();
                admitted.push(alice.admit("Patient/1").await);
            }
            admitted
        },
        async {
            let mut tokens = 1;
            // Until the first tokens have expired, and the fifth one keeps the socket open.
            while tokens < 5 || OffsetDateTime::now_utc() < token.expires_at - HALF {
                subscriber.notification().await;
                in_flight.add_permits(1);
                if tokens < 5 && OffsetDateTime::now_utc() > token.expires_at - HALF {
                    token = alice.binding_token(&subscription).await;
                    assert_eq!(token.url, first_token.url);
                    subscriber.send_bind(&token).await;
                    tokens += 1;
                }
            }
            in_flight.close();
        }
    );
    // Without another bind the remaining events arrive, and the socket closes with its token.
    let code = subscriber.read_to_the_end().await;
    assert_eq!(code, EXPIRED, "the socket closes with its last token");
    assert!(OffsetDateTime::now_utc() >= token.expires_at);
    assert_eq!(subscriber.handshakes(), 5);
    let total = admitted.len() as u64;
    assert!(total > 4, "there are enough events");
    assert_eq!(subscriber.numbers(), (1..=total).collect::<Vec<_>>());
    assert_eq!(subscriber.foci(), admitted);

    // The client can request the events that it missed while it was disconnected.
    let mut missed = Vec::new();
    for _ in 0..5 {
        missed.push(alice.admit("Patient/2").await);
    }
    let mut second = Subscriber::bind(&alice.binding_token(&subscription).await).await;
    let handshake = second.status("handshake").await;
    let count = (total + 5).to_string();
    assert_eq!(handshake["eventsSinceSubscriptionStart"], *count);
    let since = total + 1;
    let path = format!("Subscription/{subscription}/$events?eventsSinceNumber={since}");
    let caught_up = alice
        .get(&format!("{path}&eventsUntilNumber={count}"))
        .await;
    let mut log = Log::default();
    log.push(caught_up);
    assert_eq!(log.numbers(), (since..=total + 5).collect::<Vec<_>>());
    assert_eq!(log.foci(), missed);
    let next = alice.admit("Patient/3").await;
    second.notification().await;
    assert_eq!(second.numbers(), [total + 6]);
    assert_eq!(second.foci(), [next]);

    let all = [subscriber.log.bundles, second.log.bundles, log.bundles].concat();
    assert_eq!(faults(&all).await, [""; 0]);
}

#[tokio::test]
async fn every_resource_is_valid_in_r5() {
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
        let mut subscriber = Subscriber::bind(&alice.binding_token(&id).await).await;
        subscriber.status("handshake").await;
        alice.admit("Patient/2").await;
        alice.admit("Patient/1").await;
        subscriber.status("event-notification").await;
        subscriber.status("heartbeat").await;
        switch_off(&server, &alice, &id).await;
        while subscriber.status("heartbeat").await["status"] != "off" {}
        resources.append(&mut subscriber.log.bundles);
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
    let request = Request::get(missing).body(String::new()).unwrap();
    resources.push(serde_json::from_str(fetch(request).await.body()).unwrap());
    assert_eq!(
        resources.last().unwrap()["resourceType"],
        "OperationOutcome"
    );
    assert_eq!(faults(&resources).await, [""; 0]);

    // The control: the package finds faults in invalid resources.
    let mut bundle = resources[1].clone();
    bundle["entry"][0]["resource"]["type"] = json!("event-notifications");
    let mut status = resources[1].clone();
    let fields = status["entry"][0]["resource"].as_object_mut().unwrap();
    fields.remove("subscription");
    assert_eq!(faults(&[bundle, status]).await.len(), 2);
}

// --- binding tokens ----------------------------------------------------------------------------

#[tokio::test]
async fn a_client_without_a_valid_bind_receives_no_event() {
    let bob = new_secret();
    let server = Server::fhir()
        .argument("--user")
        .argument(&format!("bob={bob}"))
        .start();
    server.keep_secret(&bob);
    let alice = Fhir::new(&server, server.token());
    let subscription = alice.subscribe(json!({})).await;
    let first = alice.binding_token(&subscription).await;

    for message in [
        format!("bind-with-token {}", server.unknown_secret()),
        format!("bind-with-token {}", server.token()),
        format!("bind-with-token {subscription}"),
        "bind-with-token".to_owned(),
        "hello".to_owned(),
    ] {
        let mut socket = Socket::open(&first.url, &[]).await.unwrap();
        socket.send_text(&message).await;
        alice.admit("Patient/1").await;
        // The dialect can send an OperationOutcome before it closes the socket.
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

    // A second bind with an invalid token gets an error, and the socket stays open.
    let mut subscriber = Subscriber::bind(&first).await;
    subscriber.status("handshake").await;
    let wrong = server.unknown_secret();
    let bind = format!("bind-with-token {wrong}");
    subscriber.socket.send_text(&bind).await;
    assert_eq!(
        subscriber.socket.receive_json().await["resourceType"],
        "OperationOutcome"
    );
    alice.admit("Patient/1").await;
    subscriber.status("event-notification").await;

    // The token of another user closes the socket.
    let bob = Fhir::new(&server, &bob);
    let of_bob = bob.binding_token(&bob.subscribe(json!({})).await).await;
    subscriber.send_bind(&of_bob).await;
    let code = subscriber.read_to_the_end().await;
    assert!(code >= 1002, "{code}");
    assert_eq!(subscriber.numbers().len(), 1);
}

// --- FHIRcast ----------------------------------------------------------------------------------

#[tokio::test]
async fn the_fhircast_endpoint_contains_a_secret() {
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
    assert!(secret.len() >= 22, "at least 128 bits");
    server.keep_secret(secret);

    let mut socket = Socket::open(url, &[]).await.unwrap();
    let confirmation = socket.receive_json().await;
    assert_eq!(confirmation["hub.mode"], "subscribe");
    assert_eq!(confirmation["hub.lease_seconds"], 4);
    let event = json!({
        "timestamp": "2026-11-22T05:00:00Z",
        "id": "1",
        "event": { "hub.topic": "t1", "hub.event": "Patient-open", "context": [] },
    });
    let answer = post("application/json", event.to_string()).await;
    assert_eq!(answer.status(), 202, "{}", answer.body());
    assert_eq!(socket.receive_json().await, event);
    socket
        .send_json(&json!({ "id": "1", "status": "200" }))
        .await;

    assert_eq!(socket.receive_json().await["hub.mode"], "denied");
    assert_eq!(socket.close_code().await, 1000);
    for url in [
        url.to_owned(),
        url.replace(secret, &server.unknown_secret()),
    ] {
        let mut socket = Socket::open(&url, &[]).await.unwrap();
        assert_eq!(socket.receive_json().await["hub.mode"], "denied");
        assert_eq!(socket.close_code().await, 1000);
    }
}

// --- the page ----------------------------------------------------------------------------------

#[tokio::test]
async fn the_page_receives_events_for_longer_than_its_tokens_last() {
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
    let state = browser.run("return portcullisFhir;", Vec::new()).await;
    assert_eq!(state["sockets"], 1, "{state}");
    assert_eq!(state["numbers"], json!([1, 2, 3, 4]), "{state}");

    press(&browser, "#disconnect").await;
    browser.element(":root[data-state=closed]").await;
    for _ in 0..2 {
        alice.admit("Patient/7").await;
    }
    press(&browser, "#reconnect").await;
    until(&browser, "portcullisFhir.received === 6").await;
    press(&browser, "#trigger").await;
    until(&browser, "portcullisFhir.received === 7").await;
    let state = browser.run("return portcullisFhir;", Vec::new()).await;
    assert_eq!(state["sockets"], 2, "{state}");
    assert_eq!(state["caught"], 2, "{state}");
    for count in ["lost", "twice"] {
        assert_eq!(state[count], 0, "{state}");
    }
    assert_eq!(state["numbers"], json!([1, 2, 3, 4, 5, 6, 7]), "{state}");
}

/// The page renews a lease and reconnects after a disconnect. It shows both ends of a subscription: on
/// request, and with the lease.
#[tokio::test]
async fn the_page_follows_a_topic_until_its_subscription_is_denied() {
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

    // The endpoint accepts another socket, and confirms the subscription for the third time.
    press(&browser, "#cast-disconnect").await;
    browser.element(":root[data-cast=closed]").await;
    press(&browser, "#cast-reconnect").await;
    browser.element(":root[data-cast=live]").await;
    let state = browser.run("return portcullisCast;", Vec::new()).await;
    assert_eq!(state["sockets"], 2, "{state}");
    press(&browser, "#cast-unsubscribe").await;
    browser.element(":root[data-cast=denied]").await;
    let state = browser.run("return portcullisCast;", Vec::new()).await;
    assert_eq!(state["reason"], "unsubscribed", "{state}");

    let lease = browser.element("#cast-lease").await;
    lease.clear().await.expect("a field can be emptied");
    lease.send_keys("2").await.expect("a field takes a number");
    press(&browser, "#cast-subscribe").await;
    let ended = "portcullisCast.leases === 1 && portcullisCast.reason === 'The lease has ended.'";
    until(&browser, ended).await;
}

#[tokio::test]
async fn the_page_reports_a_wrong_token() {
    let server = Server::fhir().start();
    let browser = Browser::start().await;
    browser.open(server.base()).await;
    let field = browser.element("#token").await;
    let wrong = server.unknown_secret();
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

/// Sets the status of a subscription to `off`.
async fn switch_off(server: &Server, alice: &Fhir<'_>, id: &str) {
    let path = format!("Subscription/{id}");
    let mut resource = alice.get(&path).await;
    resource["status"] = json!("off");
    let request = Request::put(format!("{}fhir/{path}", server.base()))
        .header(header::AUTHORIZATION, format!("Bearer {}", server.token()))
        .header(header::CONTENT_TYPE, "application/fhir+json");
    let answer = fetch(request.body(resource.to_string()).unwrap()).await;
    assert_eq!(answer.status(), 200, "{}", answer.body());
}

/// The close code of a session with an expired credential.
const EXPIRED: u16 = 3000;

/// Half of the lifetime of a token.
const HALF: time::Duration = time::Duration::milliseconds(2500);

/// A socket with a bound token, and its notifications.
struct Subscriber {
    socket: Socket,
    log: Log,
}

impl Subscriber {
    async fn bind(token: &BindingToken) -> Self {
        let socket = Socket::open(&token.url, &[]).await.expect("it opens");
        let log = Log::default();
        let mut subscriber = Self { socket, log };
        subscriber.send_bind(token).await;
        subscriber
    }

    async fn send_bind(&mut self, token: &BindingToken) {
        let message = format!("bind-with-token {}", token.token);
        self.socket.send_text(&message).await;
    }

    /// Receives the next notification.
    async fn notification(&mut self) -> &Value {
        let bundle = self.socket.receive_json().await;
        self.log.push(bundle)
    }

    /// Receives the next notification, which has to be of this kind, and returns its status.
    async fn status(&mut self, kind: &str) -> Value {
        let status = self.notification().await;
        assert_eq!(status["type"], kind, "{status}");
        status.clone()
    }

    /// Receives everything until the server closes the socket, and returns the close code.
    async fn read_to_the_end(&mut self) -> u16 {
        let read = async {
            loop {
                match self.socket.next().await {
                    Message::Text(text) => {
                        let resource: Value = serde_json::from_str(&text).unwrap();
                        if resource["resourceType"] == "Bundle" {
                            self.log.push(resource);
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

/// Notifications in the order of arrival.
#[derive(Default)]
struct Log {
    bundles: Vec<Value>,
}

impl Log {
    fn push(&mut self, bundle: Value) -> &Value {
        assert_eq!(bundle["type"], "subscription-notification", "{bundle}");
        self.bundles.push(bundle);
        status(&self.bundles[self.bundles.len() - 1])
    }

    /// Returns the numbers of the events.
    fn numbers(&self) -> Vec<u64> {
        let numbers = self.events().map(|event| &event["eventNumber"]);
        numbers
            .map(|number| number.as_str().unwrap().parse().unwrap())
            .collect()
    }

    /// Returns the ids of the encounters in the events.
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
