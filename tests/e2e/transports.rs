//! The page of the transports server, which tries every carrier and dialect, in a browser.

use std::collections::BTreeMap;

use portcullis_e2e::{Browser, Server, leaks, new_secret};
use serde_json::Value;

/// The ways that open a socket from the same origin, each with the carrier that the handler sees.
const SAME_ORIGIN: [(&str, &str); 16] = [
    ("any", "subprotocol"),
    ("cookie", "cookie"),
    ("ddp", "message"),
    ("fhir", "message"),
    ("first-message", "message"),
    ("graphql", "message"),
    ("jupyter", "subprotocol"),
    ("jupyter-app", "subprotocol"),
    ("kubernetes", "subprotocol"),
    ("phoenix", "subprotocol"),
    ("query", "query"),
    ("renew-message", "query"),
    ("renew-post", "query"),
    ("ticket-message", "message"),
    ("ticket-query", "query"),
    ("ticket-subprotocol", "subprotocol"),
];

/// The ways that the page tries towards its own origin only.
const ONLY_SAME_ORIGIN: [&str; 3] = ["cookie", "renew-message", "renew-post"];

#[tokio::test]
async fn every_way_has_the_expected_outcome() {
    let server = Server::transports().start();
    let browser = Browser::start().await;
    browser.open(server.base()).await;
    try_all(&browser, server.token()).await;
    for width in [1280, 390] {
        browser.screenshot("transports", width).await;
    }

    // The page compares the outcomes itself. The test compares them again.
    let results = browser
        .run("return window.portcullisResults;", Vec::new())
        .await;
    let results = results.as_array().expect("a list of results");
    let failed: Vec<_> = results
        .iter()
        .filter(|result| result["ok"] != true)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for target in ["self", "port", "name"] {
        let opened: BTreeMap<_, _> = results
            .iter()
            .filter(|result| result["target"] == target && result["outcome"] == "opened")
            .map(|result| {
                (
                    result["way"].as_str().unwrap(),
                    result["carrier"].as_str().unwrap(),
                )
            })
            .collect();
        let mut expected = BTreeMap::from(SAME_ORIGIN);
        if target != "self" {
            // Pages of any origin can send an explicit credential. A cookie needs the same origin.
            expected.retain(|way, _| !ONLY_SAME_ORIGIN.contains(way));
        }
        assert_eq!(opened, expected, "towards {target}");
    }
    for result in results {
        let seen = result["seen"].to_string();
        assert!(
            leaks(&seen, &[server.token().to_owned()]).is_empty(),
            "{result:#}"
        );
    }
}

/// The ways that need short-lived logins or the scope `admin`.
#[tokio::test]
async fn the_page_shows_how_a_session_ended() {
    let root = new_secret();
    let server = Server::transports()
        .argument("--user")
        .argument(&format!("root={root}:admin"))
        .argument("--token-lifetime")
        .argument("4")
        .start();
    server.keep_secret(&root);
    let browser = Browser::start().await;
    let ways = [
        "renew-message",
        "renew-post",
        "expiry",
        "sessions",
        "revoke",
    ];
    let page = format!("{}?ways={}", server.base(), ways.join(","));
    browser.open(&page).await;
    let user = browser.element("#user option[value=root]").await;
    user.click().await.expect("an option can be chosen");
    try_all(&browser, &root).await;
    for width in [1280, 390] {
        browser.screenshot("transports-sessions", width).await;
    }

    let results = browser
        .run("return window.portcullisResults;", Vec::new())
        .await;
    let results = results.as_array().expect("a list of results");
    let tried: Vec<_> = results.iter().map(|result| &result["way"]).collect();
    assert_eq!(tried, ways, "each way is tried once");
    for result in results {
        assert_eq!(result["ok"], true, "{result:#}");
        assert!(leaks(&result.to_string(), std::slice::from_ref(&root)).is_empty());
    }
    let fact = |way: &str, name: &str| {
        let result = results.iter().find(|result| result["way"] == way);
        result.map_or(Value::Null, |result| result["facts"][name].clone())
    };
    assert_eq!(fact("expiry", "Closed with"), "3000, credential expired");
    assert_eq!(fact("revoke", "Closed with"), "3003, credential revoked");
    assert_eq!(fact("sessions", "Sessions"), 1);
}

/// The control of the tests above: the page can report a failure.
#[tokio::test]
async fn the_page_reports_a_wrong_token() {
    let server = Server::transports().start();
    let browser = Browser::start().await;
    // Only two ways: after several failed sockets Chromium delays the next one by up to five seconds,
    // and all ways would take longer than the time limit of the test.
    let page = format!("{}?ways=jupyter,query", server.base());
    browser.open(&page).await;
    try_all(&browser, &server.unknown_secret()).await;
    let tried = "return portcullisResults.length;";
    assert_eq!(browser.run(tried, Vec::new()).await, 6);
    let opened = "return portcullisResults.filter(({ outcome }) => outcome === 'opened').length;";
    assert_eq!(browser.run(opened, Vec::new()).await, 0);
    let result = browser
        .run(
            "return document.documentElement.dataset.result;",
            Vec::new(),
        )
        .await;
    assert_eq!(result, "fail");
}

async fn try_all(browser: &Browser, token: &str) {
    let field = browser.element("#token").await;
    field.send_keys(token).await.expect("a field takes text");
    let button = browser.element("#run").await;
    button.click().await.expect("a button can be pressed");
    browser
        .element(":root[data-result=pass], :root[data-result=fail]")
        .await;
}
