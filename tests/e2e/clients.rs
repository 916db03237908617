//! Clients of other projects run a cell in an ipykernel behind the kernel server.

use portcullis_e2e::{
    Browser, JupyterServer, PageServer, Server, ServerBuilder, bundle, node, python,
};
use serde_json::{Value, json};

use crate::kernels::{self, KERNELS, Kernel};

const MARKER: &str = "v1.token.websocket.jupyter.org";

fn profiles() -> [ServerBuilder; 2] {
    [Server::kernels(), Server::kernels().compat()]
}

// --- npm @jupyterlab/services, in Node ---------------------------------------------------------

#[tokio::test]
async fn jupyterlab_in_node_sends_the_token_in_the_url() {
    for server in profiles() {
        let server = server.start();
        let outcome = services(&server, "default").await;
        let socket = only_socket(&outcome);
        assert!(
            socket.url.contains(&format!("token={}", server.token())),
            "{outcome}"
        );
        assert_eq!(socket.offered, [KERNELS]);
    }
}

#[tokio::test]
async fn jupyterlab_in_node_sends_the_token_in_the_header() {
    for server in profiles() {
        let server = server.start();
        let outcome = services(&server, "header").await;
        let socket = only_socket(&outcome);
        assert!(!socket.url.contains("token="), "{outcome}");
        assert_eq!(socket.offered, [KERNELS]);
    }
}

#[tokio::test]
async fn jupyterlab_in_node_sends_the_token_as_a_subprotocol() {
    for server in profiles() {
        let server = server.start();
        let outcome = services(&server, "subprotocol").await;
        assert_subprotocol_was_used(&outcome, server.token());
    }
}

// --- npm @jupyterlab/services, in Chromium -----------------------------------------------------

#[tokio::test]
async fn jupyterlab_in_a_browser_uses_the_cookie_of_the_link() {
    for server in profiles() {
        let server = server.start();
        let browser = Browser::start().await;
        browser.open(server.link()).await;
        let outcome = services_in_page(&browser, server.base(), "", "default").await;
        assert_no_credential_but_a_cookie(&outcome);
    }
}

#[tokio::test]
async fn jupyterlab_on_a_page_of_another_origin_sends_the_token_as_a_subprotocol() {
    let page = PageServer::start("<!doctype html><title>Another origin</title>");
    for server in profiles() {
        let server = server.allow_origin(&page.origin()).start();
        let browser = Browser::start().await;
        browser.open(&page.origin()).await;
        let outcome =
            services_in_page(&browser, server.base(), server.token(), "subprotocol").await;
        assert_subprotocol_was_used(&outcome, server.token());
    }
}

/// Unmodified JupyterLab sends its token in REST calls only and relies on the cookie of the first
/// response. The compat profile sets it.
#[tokio::test]
async fn unmodified_jupyterlab_with_the_token_in_its_settings_works() {
    let server = Server::kernels().compat().start();
    let browser = Browser::start().await;
    // A page of the same origin that needs no credential.
    browser.open(&format!("{}api", server.base())).await;
    let outcome = services_in_page(&browser, server.base(), server.token(), "default").await;
    assert_no_credential_but_a_cookie(&outcome);
}

// --- others ------------------------------------------------------------------------------------

#[tokio::test]
async fn python_jupyter_kernel_client_runs_a_cell() {
    for server in profiles() {
        let server = server.start();
        python_client(server.base(), server.token()).await;
        assert_eq!(
            kernels::list(&server).await.len(),
            0,
            "the client shut its kernel down"
        );
    }
}

/// Jupyter Server is a client of the kernel server, and the Python client is a client of Jupyter
/// Server.
#[tokio::test]
async fn jupyter_server_runs_cells_as_a_gateway_client() {
    for server in profiles() {
        let server = server.start();
        let front = JupyterServer::in_front_of(&server);
        let id = kernels::start(front.base(), front.token()).await;
        let kernels = kernels::list(&server).await;
        assert!(
            kernels.iter().any(|kernel| kernel["id"] == *id),
            "{id} is not in {kernels:?}"
        );
        python_client(front.base(), front.token()).await;
    }
}

#[tokio::test]
async fn rust_jupyter_websocket_client_runs_a_cell() {
    for server in profiles() {
        let server = server.start();
        assert_eq!(rust_client(server.base(), server.token()).await, "42\n");
    }
}

/// The token subprotocol with another WebSocket library. The complete tables run over in-process
/// connections; these rows show that they do not depend on the test client.
#[tokio::test]
async fn python_websockets_gets_the_documented_responses() {
    let server = Server::kernels().start();
    let id = kernels::start(server.base(), server.token()).await;
    let good = format!("{MARKER}.{}", server.token());
    let bad = format!("{MARKER}.{}", server.unknown_secret());
    let token = format!("token {}", server.token());
    let rows = [
        (
            "marker and token",
            json!({ "subprotocols": [MARKER, good] }),
            101,
            Some(MARKER),
        ),
        (
            "kernel protocol first",
            json!({ "subprotocols": [KERNELS, MARKER, good] }),
            101,
            Some(KERNELS),
        ),
        (
            "kernel protocol last",
            json!({ "subprotocols": [MARKER, good, KERNELS] }),
            101,
            Some(KERNELS),
        ),
        (
            "header",
            json!({ "headers": [["Authorization", token]] }),
            101,
            None,
        ),
        ("no credential", json!({}), 403, None),
        (
            "a wrong token",
            json!({ "subprotocols": [MARKER, bad] }),
            403,
            None,
        ),
        (
            "the marker alone",
            json!({ "subprotocols": [MARKER] }),
            403,
            None,
        ),
        (
            "a wrong token and a valid header",
            json!({ "subprotocols": [MARKER, bad], "headers": [["Authorization", token]] }),
            403,
            None,
        ),
    ];
    let url = format!("{}{}", server.websocket_base(), kernels::channels(&id));
    let attempts = Value::from_iter(rows.iter().map(|(_, attempt, ..)| attempt.clone()));
    let results = python("offers.py", &[&url], &attempts)
        .await
        .expect("the driver runs");
    for ((name, _, status, protocol), result) in rows.iter().zip(results.as_array().unwrap()) {
        assert_eq!(result["status"], *status, "{name}: {result}");
        assert_eq!(result["protocol"].as_str(), *protocol, "{name}: {result}");
    }
}

// --- the drivers themselves --------------------------------------------------------------------

/// The control of the tests above: a driver that fails does so because of the kernel server.
#[tokio::test]
async fn drivers_work_with_jupyter_server() {
    let server = JupyterServer::start();
    for way in ["default", "url", "header"] {
        let outcome = node("services.cjs", &[server.base(), server.token(), way]).await;
        assert_eq!(outcome.expect("the cell runs")["text"], "42\n");
    }
    python_client(server.base(), server.token()).await;
    assert_eq!(rust_client(server.base(), server.token()).await, "42\n");
    let browser = Browser::start().await;
    browser
        .open(&format!("{}login?token={}", server.base(), server.token()))
        .await;
    let outcome = services_in_page(&browser, server.base(), "", "default").await;
    assert_no_credential_but_a_cookie(&outcome);
}

/// The control of the tests above: a driver that reports success was admitted.
#[tokio::test]
async fn drivers_fail_with_a_wrong_token() {
    let server = Server::kernels().start();
    let wrong = server.unknown_secret();
    for way in ["default", "header", "subprotocol"] {
        let outcome = node("services.cjs", &[server.base(), &wrong, way]).await;
        assert!(outcome.unwrap_err().contains("403"), "{way}");
    }
    let outcome = python("kernel_client.py", &[server.base(), &wrong], &Value::Null).await;
    assert!(outcome.unwrap_err().contains("403"));
}

// --- helpers -----------------------------------------------------------------------------------

async fn services(server: &Server, way: &str) -> Value {
    let outcome = node("services.cjs", &[server.base(), server.token(), way]).await;
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome["text"], "42\n");
    assert_eq!(
        kernels::list(server).await.len(),
        0,
        "the client shut its kernel down"
    );
    outcome
}

async fn services_in_page(browser: &Browser, base: &str, token: &str, way: &str) -> Value {
    browser.run(bundle(), Vec::new()).await;
    let options = json!({ "base": base, "token": token, "way": way });
    let outcome = browser
        .run("return portcullis.runCell(arguments[0]);", vec![options])
        .await;
    assert_eq!(outcome["text"], "42\n");
    outcome
}

async fn python_client(base: &str, token: &str) {
    let outcome = python("kernel_client.py", &[base, token], &Value::Null).await;
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome["text"], "42\n");
}

async fn rust_client(base: &str, token: &str) -> String {
    let mut kernel = Kernel::start(base, token).await;
    let text = kernel.run("print(6*7)").await;
    kernel.shut_down().await;
    text
}

/// The way in which a client opened its socket.
struct Socket {
    url: String,
    offered: Vec<String>,
}

/// Returns the only socket: a second one would mean that the first attempt had failed.
fn only_socket(outcome: &Value) -> Socket {
    let sockets = outcome["sockets"].as_array().expect("a list");
    let [socket] = sockets.as_slice() else {
        panic!("expected one socket: {outcome}")
    };
    assert_eq!(socket["protocol"], KERNELS, "{outcome}");
    let offered = socket["offered"].as_array().expect("a list").iter();
    Socket {
        url: socket["url"].as_str().expect("an address").to_owned(),
        offered: offered
            .filter_map(|entry| Some(entry.as_str()?.to_owned()))
            .collect(),
    }
}

fn assert_subprotocol_was_used(outcome: &Value, token: &str) {
    let socket = only_socket(outcome);
    assert!(!socket.url.contains("token="), "{outcome}");
    assert_eq!(
        socket.offered,
        [KERNELS, MARKER, &format!("{MARKER}.{}", escaped(token))]
    );
}

/// Returns the token as the driver escapes it: `encodeURIComponent` leaves `~` unchanged.
fn escaped(token: &str) -> &str {
    assert!(
        token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    );
    token
}

fn assert_no_credential_but_a_cookie(outcome: &Value) {
    let socket = only_socket(outcome);
    assert!(!socket.url.contains("token="), "{outcome}");
    assert_eq!(socket.offered, [KERNELS]);
}
