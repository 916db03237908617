//! The token appears in no response, log or debug output.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::*;

const TOKEN: &str = "alice-c4n4ry-0123456789abcdef";

#[tokio::test]
async fn responses_and_logs_do_not_contain_the_token() {
    let log = Log::default();
    let _guard = log.capture();

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
            // The bytes on the wire: `Debug` does not print sensitive values.
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
    let text = log.text();
    assert!(text.contains("a link logs a browser in"), "{text}");
    seen.push(text);

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
