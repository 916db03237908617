//! The kernel server in a browser: login by link, reload, output, and pages of other origins.

use portcullis_e2e::{Browser, PageServer, Server, leaks};
use serde_json::{Value, json};

use crate::kernels;
use crate::notebook::Notebook;

#[tokio::test]
async fn the_printed_link_logs_in_and_scripts_cannot_read_its_token() {
    for server in [Server::kernels(), Server::kernels().compat()] {
        let server = server.start();
        let browser = Browser::start().await;
        browser.open(server.link()).await;
        assert_eq!(browser.location().await, server.base());

        let notebook = Notebook::ready(&browser).await;
        let cell = notebook.run("x = 6 * 7; print(x)").await;
        assert_eq!(notebook.output(cell).await, "42");

        let visible = browser
            .run(VISIBLE_TO_SCRIPTS, Vec::new())
            .await
            .to_string();
        assert_eq!(
            leaks(&visible, &[server.token().to_owned()]),
            [""; 0],
            "in {visible}"
        );
    }
}

#[tokio::test]
async fn a_reload_keeps_the_session() {
    let server = Server::kernels().start();
    let browser = Browser::start().await;
    browser.open(server.link()).await;
    let notebook = Notebook::ready(&browser).await;
    notebook.run("x = 6 * 7").await;
    let (kernel, identity) = (notebook.kernel().await, notebook.identity().await);

    browser
        .client()
        .refresh()
        .await
        .expect("the page loads again");
    assert_eq!(browser.location().await, server.base());
    let notebook = Notebook::ready(&browser).await;
    assert_eq!(notebook.identity().await, identity);
    assert_eq!(notebook.kernel().await, kernel);
    let cell = notebook.run("print(x)").await;
    assert_eq!(notebook.output(cell).await, "42");
    assert_eq!(kernels::list(&server).await.len(), 1);
}

#[tokio::test]
async fn a_page_without_the_link_or_with_a_wrong_token_is_refused() {
    let server = Server::kernels().start();
    let browser = Browser::start().await;
    let wrong = format!("{}?token={}", server.base(), server.unknown_secret());
    for url in [server.base(), &wrong] {
        browser.open(url).await;
        let status = browser
            .run("return (await fetch('/api/kernels')).status;", Vec::new())
            .await;
        assert_eq!(status, 403, "at {url}");
    }
}

#[tokio::test]
async fn an_image_is_shown_and_the_page_fits_the_screen() {
    let server = Server::kernels().start();
    let browser = Browser::start().await;
    browser.open(server.link()).await;
    let notebook = Notebook::ready(&browser).await;
    let cell = notebook.run(PICTURE).await;
    assert_eq!(notebook.picture_width(cell).await, 64);
    notebook
        .run("from IPython.display import HTML; HTML('<h3>HTML</h3><p>in a frame</p>')")
        .await;
    notebook
        .run("for n in range(5): print(n, 'squared is', n * n)")
        .await;
    for width in [1280, 390] {
        browser.screenshot("kernel-server", width).await;
    }
}

/// Cookies do not depend on the port, so the browser sends the cookie also for a page of another port.
/// Only the `Origin` header differs.
#[tokio::test]
async fn a_page_of_another_origin_cannot_open_a_socket_with_the_cookie() {
    let hostile = PageServer::start("<!doctype html><title>Hostile</title>");
    for server in [Server::kernels(), Server::kernels().compat()] {
        let server = server.start();
        let id = kernels::start(server.base(), server.token()).await;
        let sockets = sockets(&server, &id);
        let browser = Browser::start().await;
        browser.open(server.link()).await;
        for url in &sockets {
            let attempt = open_socket(&browser, url).await;
            assert_eq!(attempt["opened"], true, "the own page, {url}: {attempt}");
        }

        browser.open(&hostile.origin()).await;
        for url in &sockets {
            let attempt = open_socket(&browser, url).await;
            assert_eq!(
                attempt,
                json!({ "opened": false, "code": 1006, "reason": "" }),
                "{url}"
            );
        }
    }
}

/// The control of the test above: the browser does send the cookie, so the origin is the reason for
/// the refusal.
#[tokio::test]
async fn a_page_of_an_allowed_origin_can_open_a_socket_with_the_cookie() {
    let allowed = PageServer::start("<!doctype html><title>Allowed</title>");
    let server = Server::kernels().allow_origin(&allowed.origin()).start();
    let id = kernels::start(server.base(), server.token()).await;
    let browser = Browser::start().await;
    browser.open(server.link()).await;
    browser.open(&allowed.origin()).await;
    for url in &sockets(&server, &id) {
        let attempt = open_socket(&browser, url).await;
        assert_eq!(attempt["opened"], true, "{url}: {attempt}");
    }
}

// --- helpers -----------------------------------------------------------------------------------

fn sockets(server: &Server, kernel: &str) -> [String; 2] {
    [kernels::channels(kernel), "api/events/subscribe".to_owned()]
        .map(|path| format!("{}{path}", server.websocket_base()))
}

/// Opens a WebSocket from the page without any explicit credential.
async fn open_socket(browser: &Browser, url: &str) -> Value {
    let script = "
        const socket = new WebSocket(arguments[0]);
        return new Promise(resolve => {
          socket.onopen = () => { socket.onclose = null; socket.close(); resolve({ opened: true }); };
          socket.onclose = ({ code, reason }) => resolve({ opened: false, code, reason });
        });";
    browser.run(script, vec![json!(url)]).await
}

const VISIBLE_TO_SCRIPTS: &str = "
    return {
      location: String(location),
      referrer: document.referrer,
      cookie: document.cookie,
      page: document.documentElement.outerHTML,
      storage: [{ ...localStorage }, { ...sessionStorage }],
      history: history.state,
      entries: performance.getEntries().map(entry => entry.name),
    };";

/// Python code that displays a picture of 64 pixels without any package.
const PICTURE: &str = "import struct, zlib; from IPython.display import Image; \
    chunk = lambda kind, data: struct.pack('>I', len(data)) + kind + data + \
    struct.pack('>I', zlib.crc32(kind + data)); \
    rows = b''.join(b'\\0' + bytes(v for x in range(64) for v in (4 * x, 4 * y, 160)) \
    for y in range(64)); \
    Image(b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 64, 64, 8, 2, 0, 0, 0)) \
    + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))";
