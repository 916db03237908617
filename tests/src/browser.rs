use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::TimeoutConfiguration;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::Process;

const LIMIT: Duration = Duration::from_secs(60);

/// Chromium with an empty profile.
///
/// Its methods fail the test if the browser does not answer in time. [`client`](Self::client) returns
/// the WebDriver session for everything else.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    // Dropped before the profile, so that the browser ends before its folder is removed.
    _driver: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser.
    ///
    /// # Panics
    ///
    /// Panics if it does not start.
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let driver = Process::start(
            Command::new("chromedriver").args(["--port=0", "--allowed-ips=127.0.0.1"]),
        );
        let port: u16 = driver.wait_for_line(LIMIT, |line| {
            let port = line.split_once("started successfully on port ")?.1;
            port.trim_end_matches('.').parse().ok()
        });
        let capabilities = json!({ "goog:chromeOptions": {
            "binary": "/usr/bin/chromium",
            "args": arguments(&profile),
        }});
        let mut builder = ClientBuilder::new(HttpConnector::new());
        if let Value::Object(capabilities) = capabilities {
            builder.capabilities(capabilities);
        }
        let url = format!("http://127.0.0.1:{port}");
        let client = in_time(builder.connect(&url))
            .await
            .expect("a browser session");
        let limit = Some(Duration::from_secs(90));
        let limits = TimeoutConfiguration::new(limit, limit, Some(Duration::ZERO));
        client.update_timeouts(limits).await.expect("time limits");
        Self {
            client,
            _driver: driver,
            _profile: profile,
        }
    }

    /// Returns the WebDriver session.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens `url` in the tab.
    ///
    /// # Panics
    ///
    /// Panics if it does not load.
    pub async fn open(&self, url: &str) {
        in_time(self.client.goto(url))
            .await
            .expect("the page loads");
    }

    /// Returns the URL in the address bar.
    ///
    /// # Panics
    ///
    /// Panics if the browser has ended.
    pub async fn location(&self) -> String {
        in_time(self.client.current_url())
            .await
            .expect("a location")
            .to_string()
    }

    /// Waits for an element, longer than a kernel takes to start on a busy machine.
    ///
    /// # Panics
    ///
    /// Panics if it does not appear. The message contains the text of the page.
    pub async fn element(&self, selector: &str) -> Element {
        let wait = self.client.wait().at_most(LIMIT);
        match wait.for_element(Locator::Css(selector)).await {
            Ok(element) => element,
            Err(error) => {
                let page = self
                    .run("return document.body.innerText;", Vec::new())
                    .await;
                panic!(
                    "no {selector} ({error}) on the page:\n{}",
                    page.as_str().unwrap_or("")
                );
            }
        }
    }

    /// Runs `body` in the page as the body of an async function and returns its value. The content
    /// security policy of the page does not apply.
    ///
    /// # Panics
    ///
    /// Panics if the script throws.
    pub async fn run(&self, body: &str, arguments: Vec<Value>) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async () => {{ {body} }})().then(
               value => done({{ value: value ?? null }}),
               error => done({{ error: String(error?.stack || error) }}));"
        );
        let answer = in_time(self.client.execute_async(&script, arguments)).await;
        let mut answer = answer.expect("the script ends");
        assert!(
            answer["error"].is_null(),
            "the script threw {}",
            answer["error"]
        );
        answer["value"].take()
    }

    /// Sets the width of the viewport in pixels and writes a screenshot to
    /// `<target>/screenshots/<name>-<width>.png`.
    ///
    /// # Panics
    ///
    /// Panics if the page is wider than the viewport.
    pub async fn screenshot(&self, name: &str, width: u32) {
        // Device emulation, because a phone is narrower than the minimum width of a window.
        self.resize(width, if width < 500 { 844 } else { 900 })
            .await;
        let too_wide = "const { scrollWidth, clientWidth } = document.documentElement;
             return scrollWidth - clientWidth;";
        assert_eq!(
            self.run(too_wide, Vec::new()).await,
            0,
            "{name} at {width} pixels"
        );
        let png = in_time(self.client.screenshot()).await.expect("a picture");
        let folder = screenshots();
        std::fs::create_dir_all(&folder).expect("a folder for the pictures");
        std::fs::write(folder.join(format!("{name}-{width}.png")), png).expect("it is written");
    }

    async fn resize(&self, width: u32, height: u32) {
        let command = devtools::Command::new(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 }),
        );
        in_time(self.client.issue_cmd(command))
            .await
            .expect("the size is set");
    }
}

fn arguments(profile: &TempDir) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    .map(String::from)
    .into();
    arguments.push(format!("--user-data-dir={}", profile.path().display()));
    arguments
}

/// Returns the folder for screenshots, next to the folder of the build profile.
fn screenshots() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let target = test
        .ancestors()
        .nth(3)
        .expect("a test binary is three folders below the target folder");
    target.join("screenshots")
}

async fn in_time<T>(answer: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), answer)
        .await
        .expect("the browser answers in time")
}

/// Commands of the DevTools protocol, which Chromedriver accepts in addition to WebDriver.
mod devtools {
    use fantoccini::wd::WebDriverCompatibleCommand;
    use http::Method;
    use serde_json::{Value, json};
    use url::{ParseError, Url};

    #[derive(Debug)]
    pub(super) struct Command(Value);

    impl Command {
        pub(super) fn new(name: &str, parameters: &Value) -> Self {
            Self(json!({ "cmd": name, "params": parameters }))
        }
    }

    impl WebDriverCompatibleCommand for Command {
        fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
            base.join(&format!(
                "session/{}/goog/cdp/execute",
                session.unwrap_or_default()
            ))
        }

        fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
            (Method::POST, Some(self.0.to_string()))
        }
    }
}
