//! No plain token in anything that leaves the house but by the verifier's door.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

const TOKEN: &str = "alice-c4n4ry-0123456789abcdef";

#[tokio::test]
async fn nothing_that_is_sent_or_printed_holds_the_token() {
    let printed = Printed::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(printed.clone())
        .finish();
    // Of one subscriber alone `tracing` believes that it hears every thread, and so turns off for
    // all what the thread of another test does not listen to. A second one makes it ask.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);

    let mut seen = Vec::new();
    for slow in [false, true] {
        let server = Server::with(slow, PersistTokenLayer::set_cookie_on_api_responses);
        let target = format!("/lab?token={TOKEN}");
        let bearer = format!("{TYPED} | authorization: token {TOKEN}");
        let foreign = format!("{PAGE} | sec-fetch-site: cross-site");
        let jar = server.jar(TOKEN);
        let sent = [
            server.open(&target, TYPED, &Jar::default()).await,
            server.open(&target, &foreign, &Jar::default()).await,
            server.open(&target, TYPED, &server.jar("bob-1")).await,
            server
                .open(&format!("{target}x&token=y"), TYPED, &jar)
                .await,
            server
                .open(
                    "/lab",
                    &bearer.replace("none", "same-origin"),
                    &Jar::default(),
                )
                .await,
            server.open("/lab", TYPED, &jar).await,
        ];
        let outcomes: Vec<_> = sent.iter().map(outcome).collect();
        assert_eq!(
            outcomes,
            [
                "303 set",
                "ask",
                "switch",
                "pass 400",
                "pass 200 set",
                "pass 200"
            ]
        );
        for response in sent {
            // As it is on the wire: `Debug` hides what is marked sensitive.
            for (name, value) in response.headers() {
                seen.push(format!(
                    "{name}: {}",
                    String::from_utf8_lossy(value.as_bytes())
                ));
            }
            seen.push(String::from_utf8(response.body().to_vec()).unwrap());
            seen.push(format!("{response:?}"));
        }
        seen.push(format!("{:?} {jar:?}", server.app));
        server.verifier.revoke(TOKEN);
        let refused = server.open(&target, TYPED, &jar).await;
        assert_eq!(outcome(&refused), "pass 403");
        seen.push(format!("{refused:?}"));
    }
    let log = printed.text();
    assert!(log.contains("a link logs a browser in"), "{log}");
    seen.push(log);

    for secret in [
        TOKEN.to_owned(),
        TOKEN[..16].to_owned(),
        URL_SAFE_NO_PAD.encode(TOKEN),
        STANDARD_NO_PAD.encode(&TOKEN[..15]),
        TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    ] {
        for text in &seen {
            assert!(!text.contains(&secret), "{secret} in {text}");
        }
    }
}

#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Printed {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
