//! Redirects after a link with `?token=`, for published lists of open redirects.
//!
//! Every address of the lists is used as the target of the request and as the value of a parameter.
//! The lists are in the folder `PORTCULLIS_VECTORS`, else in `shared/vectors` next to the
//! repository. Without that folder, the test does not run, and a line on stderr says so.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use axum::Router;
use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use portcullis::links::LinkPolicy;
use portcullis::seal::{CookieKey, CookieKeys, SealedCookie};
use portcullis::testing::{Accepting, TestClient, TestResponse};
use portcullis::{AuthLayer, Identity, PersistTokenLayer, Profile};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::Layer as _;
use url::{Position, Url};

use crate::support::Table;

const LISTS: [&str; 4] = [
    "redirects/oauth2-proxy-openredirects.txt",
    "redirects/patt-Open-Redirect-payloads.txt",
    "redirects/patt-open_redirect_wordlist.txt",
    "redirects/patt-openredirects.txt",
];

/// The number of different addresses in the lists.
const ADDRESSES: usize = 580;

const ORIGIN: &str = "http://localhost";

/// Bytes that a request line never contains, and `#`, which begins a fragment. Others are not
/// ASCII.
const ILLEGAL: &AsciiSet = &CONTROLS.add(b' ').add(b'#');

#[tokio::test]
async fn redirect_stays_on_the_origin_and_keeps_the_address() {
    let Some(addresses) = addresses() else {
        return;
    };
    let client = client(LinkPolicy::AskIfForeign);
    let (mut table, mut redirected, mut refused) = (Table::new(), 0, 0);
    for target in targets(&addresses) {
        let request = with_token(&target);
        if request.parse::<Uri>().is_err() {
            let answer = status_line(&client, &request).await;
            table.row(&request, "HTTP/1.1 400 Bad Request", answer);
            assert!(!is_sent_by_browsers(&target), "{target} is refused");
            refused += 1;
            continue;
        }
        for client in versions(&client, &target) {
            let response = open(&client, &request).await;
            check_redirect(&mut table, &target, &response);
            redirected += 1;
        }
    }
    table.finish();
    let addresses = addresses.len();
    report(&format!(
        "{addresses} addresses of redirects: {redirected} links redirected, {refused} refused"
    ));
    assert!(addresses >= ADDRESSES, "{addresses} addresses");
    assert!(redirected > 4 * ADDRESSES, "{redirected} redirected");
}

#[tokio::test]
async fn confirmation_page_stays_on_the_origin_and_keeps_the_address() {
    let Some(addresses) = addresses() else {
        return;
    };
    let client = client(LinkPolicy::AskAlways);
    let (mut table, mut confirmed) = (Table::new(), 0);
    for target in targets(&addresses) {
        let request = with_token(&target);
        if request.parse::<Uri>().is_err() {
            continue;
        }
        for client in versions(&client, &target) {
            let page = open(&client, &request).await;
            table.row(&request, "200", page.status().as_u16());
            let [action, declined] = &links(page.text())[..] else {
                panic!("a form and a link: {}", page.text());
            };
            table.row(&request, without_host(&target), declined);
            table.row(&request, ORIGIN, origin_of(&target, action));
            table.row(&request, ORIGIN, origin_of(&target, declined));
            // The path of a form is the path of its page, as the browser wrote it.
            if is_sent_by_browsers(&target) {
                let response = submit(&client, &request, &page, action).await;
                check_redirect(&mut table, &target, &response);
                confirmed += 1;
            }
        }
    }
    table.finish();
    let addresses = addresses.len();
    report(&format!(
        "{addresses} addresses of redirects: {confirmed} forms submitted"
    ));
    assert!(addresses >= ADDRESSES, "{addresses} addresses");
    assert!(confirmed > 4 * ADDRESSES, "{confirmed} forms");
}

fn check_redirect(table: &mut Table, target: &str, response: &TestResponse) {
    let location = response.header("location").unwrap_or_default();
    table.row(target, "303", response.status().as_u16());
    table.row(target, without_host(target), location);
    table.row(target, ORIGIN, origin_of(target, location));
    table.row(target, false, response.headers().contains_key("refresh"));
    table.row(target, "", response.text());
}

fn client(policy: LinkPolicy) -> TestClient {
    let cookie = SealedCookie::new("session", CookieKeys::new(&CookieKey::generate()));
    let auth = AuthLayer::new(Accepting::token("s3cret", Identity::new("alice")))
        .profile(Profile::jupyter().carrier(cookie.clone()));
    let layer = PersistTokenLayer::for_auth(&auth, cookie).link_policy(policy);
    let app = Router::new().fallback(async || "a page").layer(auth);
    TestClient::new(layer.layer(app))
}

/// Returns the clients for a target: HTTP/2 has no absolute form.
fn versions(client: &TestClient, target: &str) -> Vec<TestClient> {
    let mut clients = vec![client.clone()];
    if target.starts_with('/') {
        clients.push(client.clone().http2());
    }
    clients
}

/// Returns the request targets, without the token, for addresses.
///
/// Each address is the target itself, a path, and the value of a parameter. It is sent as it is,
/// decoded once, and as browsers write it.
fn targets(addresses: &BTreeSet<String>) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    for address in addresses {
        let decoded: Vec<u8> = percent_decode_str(address).collect();
        for bytes in [address.as_bytes(), &decoded] {
            let address = percent_encode(bytes, ILLEGAL).to_string();
            targets.extend([format!("/{address}"), format!("/a?next={address}"), address]);
        }
    }
    let written = targets.iter().filter_map(|target| as_in_browsers(target));
    let written: Vec<_> = written.collect();
    targets.extend(written);
    targets
}

/// Returns a path and query as a browser sends it.
fn as_in_browsers(target: &str) -> Option<String> {
    let is_path = target.starts_with('/');
    let url = is_path.then(|| Url::parse(&format!("{ORIGIN}{target}")))?;
    url.ok().map(|url| path_and_query(&url))
}

fn is_sent_by_browsers(target: &str) -> bool {
    as_in_browsers(target).is_some_and(|written| written == target)
}

fn path_and_query(url: &Url) -> String {
    url[Position::BeforePath..Position::AfterQuery].to_owned()
}

fn with_token(target: &str) -> String {
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}token=s3cret")
}

/// Returns the path and query of a target, with one leading slash.
fn without_host(target: &str) -> String {
    let uri: Uri = with_token(target).parse().unwrap();
    let address = uri.path_and_query().unwrap().as_str();
    let address = address.strip_suffix("token=s3cret").unwrap();
    let address = &address[..address.len() - 1];
    format!("/{}", address.trim_start_matches(['/', '\\']))
}

/// Returns the origin of an address on the page of `target`, as browsers read it.
fn origin_of(target: &str, address: &str) -> String {
    let page = match target.starts_with('/') {
        true => Url::parse(&format!("{ORIGIN}{target}")),
        false => Url::parse(ORIGIN),
    };
    match page.unwrap().join(address) {
        Ok(url) => url[..Position::BeforePath].to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Opens a link that a user typed.
async fn open(client: &TestClient, target: &str) -> TestResponse {
    let request = client.get(target).header("accept", "text/html");
    request.header("sec-fetch-site", "none").send().await
}

/// Sends a target that no client can send, and returns the first line of the response.
async fn status_line(client: &TestClient, target: &str) -> String {
    let mut pipe = client.pipe();
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\r\n");
    pipe.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    pipe.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Submits the form of a page.
async fn submit(
    client: &TestClient,
    request: &str,
    page: &TestResponse,
    action: &str,
) -> TestResponse {
    let url = Url::parse(&format!("{ORIGIN}{request}")).unwrap();
    let target = path_and_query(&url.join(action).unwrap());
    let (_, sealed) = page
        .text()
        .split_once("name=\"confirmation\" value=\"")
        .unwrap();
    let (sealed, _) = sealed.split_once('"').unwrap();
    client
        .post(&target)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .body(format!("confirmation={sealed}"))
        .send()
        .await
}

/// Returns the addresses in a page: the action of its form, then its links and resources.
fn links(html: &str) -> Vec<String> {
    let values = [" action=\"", " href=\"", " src=\""].map(|name| {
        let parts = html.split(name).skip(1);
        parts.map(|rest| rest.split('"').next().unwrap())
    });
    let values = values.into_iter().flatten();
    values
        .map(|value| {
            [
                ("&lt;", "<"),
                ("&gt;", ">"),
                ("&quot;", "\""),
                ("&#39;", "'"),
                ("&amp;", "&"),
            ]
            .iter()
            .fold(value.to_owned(), |text, (name, c)| text.replace(name, c))
        })
        .collect()
}

/// Reads the lists. Returns `None`, and reports it, if there are no published vectors.
fn addresses() -> Option<BTreeSet<String>> {
    let Some(folder) = folder() else {
        report("addresses of redirects: did not run, set PORTCULLIS_VECTORS");
        return None;
    };
    let read = |list| {
        let path = folder.join(list);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let lists = LISTS.map(read);
    let lines = lists.iter().flat_map(|list| list.lines());
    Some(lines.map(str::to_owned).collect())
}

fn folder() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("PORTCULLIS_VECTORS") {
        return Some(folder.into());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    folder.is_dir().then_some(folder)
}

/// Writes a line to stderr itself, because the test harness hides `eprintln!` of tests that pass.
fn report(line: &str) {
    let line = format!("published vectors: {line}\n");
    let written = io::stderr().write_all(line.as_bytes());
    written.expect("stderr is open");
}
