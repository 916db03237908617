//! The confirmation page, and the form that its user submits.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::StatusCode;
use http_body::{Body, Frame};

use super::*;
use crate::links::LinkPolicy;

/// The headers of a browser that submits the form of a confirmation page.
const FORM: &str = "host: localhost:8888 | accept: text/html | origin: http://localhost:8888 | \
    sec-fetch-site: same-origin | sec-fetch-mode: navigate | sec-fetch-dest: document | \
    content-type: application/x-www-form-urlencoded";

/// The form in a page: its action and its content.
struct Form {
    action: String,
    body: String,
}

impl Form {
    fn of(response: &Response<Bytes>) -> Self {
        let page = std::str::from_utf8(response.body()).unwrap();
        let between = |start: &str| {
            let (_, rest) = page.split_once(start).unwrap();
            rest.split('"').next().unwrap().replace("&amp;", "&")
        };
        let name = between("type=\"hidden\" name=\"");
        let value = between(&format!("name=\"{name}\" value=\""));
        Self {
            action: between("action=\""),
            body: format!("{name}={value}"),
        }
    }

    /// Returns the `POST` of a browser that submits the form at this path.
    fn posted(&self, path: &str, lines: &str, jar: &Jar) -> Request<String> {
        let mut request = request("POST", &format!("{path}{}", self.action), lines, jar);
        *request.body_mut() = self.body.clone();
        request
    }
}

async fn form_for(server: &Server, target: &str, jar: &Jar) -> Form {
    let lines = format!("{PAGE} | sec-fetch-site: cross-site");
    let response = server.open(target, &lines, jar).await;
    assert!(
        ["ask", "switch"].contains(&&*outcome(&response)),
        "{target}"
    );
    Form::of(&response)
}

#[tokio::test]
async fn foreign_link_asks_and_the_confirmation_logs_in() {
    for slow in [false, true] {
        let server = Server::with(slow, |layer| layer);
        let mut jar = Jar::default();
        let lines = format!("{PAGE} | sec-fetch-site: cross-site");
        let target = "/lab?a=%22%3E&token=alice-1&b='";
        let response = server.open(target, &lines, &jar).await;
        assert_eq!(outcome(&response), "ask");
        let page = std::str::from_utf8(response.body()).unwrap();
        assert!(page.contains("Continue as <bdi>alice</bdi>?"), "{page}");
        assert!(
            page.contains("href=\"/lab?a=%22%3E&amp;b=&#39;\""),
            "{page}"
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["referrer-policy"], "strict-origin");

        let form = form_for(&server, "/lab?a=1&token=alice-1", &jar).await;
        assert_eq!(form.action, "?a=1&token-confirmation");
        let response = server.send(form.posted("/lab", FORM, &jar)).await;
        assert_eq!(outcome(&response), "303 set");
        assert_eq!(response.headers()["location"], "/lab?a=1");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer");
        jar.take(response.headers());
        assert_eq!(
            server.open("/lab", TYPED, &jar).await.body(),
            "alice at /lab"
        );

        // Submitting the form again has the same result.
        let response = server.send(form.posted("/lab", FORM, &jar)).await;
        assert_eq!(outcome(&response), "303 set");
    }
}

#[tokio::test]
async fn other_user_is_named_and_replaced_after_a_click() {
    for slow in [false, true] {
        let server = Server::with(slow, |layer| layer.link_policy(LinkPolicy::TrustAnySite));
        let mut jar = server.jar("alice-1");
        let response = server.open("/?token=bob-1", TYPED, &jar).await;
        assert_eq!(response.status(), StatusCode::CONFLICT);
        let page = std::str::from_utf8(response.body()).unwrap();
        assert!(
            page.contains("You are <bdi>alice</bdi>. Switch to <bdi>bob</bdi>?"),
            "{page}"
        );

        let form = Form::of(&response);
        assert_eq!(form.action, "?token-confirmation");
        let response = server.send(form.posted("/", FORM, &jar)).await;
        assert_eq!(outcome(&response), "303 set");
        jar.take(response.headers());
        assert_eq!(server.open("/", TYPED, &jar).await.body(), "bob at /");
    }
}

/// An attacker opens a confirmation, and makes another browser submit its form.
#[tokio::test]
async fn only_a_page_of_this_server_can_submit_the_form() {
    let own = "origin: http://localhost:8888 | sec-fetch-site: same-origin";
    #[rustfmt::skip]
    let table = [
        ("origin: http://localhost:8888 | sec-fetch-site: same-origin",    "303 set"),
        ("origin: http://localhost:8888",                                  "303 set"),
        ("sec-fetch-site: same-origin",                                    "303 set"),
        // A proxy terminates TLS. The browser says that the page has the same origin.
        ("origin: https://localhost:8888 | sec-fetch-site: same-origin",   "303 set"),
        ("origin: https://localhost:8888",                                 "page 403"),
        ("",                                                               "page 403"),
        ("origin: null",                                                   "page 403"),
        ("origin: null | sec-fetch-site: same-origin",                     "page 403"),
        ("origin: http://localhost:9999",                                  "page 403"),
        ("origin: http://localhost",                                       "page 403"),
        ("origin: http://localhost:8888.evil.example",                     "page 403"),
        ("origin: http://evil.example",                                    "page 403"),
        ("origin: http://evil.example | sec-fetch-site: same-origin",      "page 403"),
        ("origin: http://localhost:8888 | origin: http://localhost:8888",  "page 403"),
        ("origin: http://localhost:8888 | sec-fetch-site: cross-site",     "page 403"),
        ("origin: http://localhost:8888 | sec-fetch-site: same-site",      "page 403"),
        ("origin: http://localhost:8888 | sec-fetch-site: none",           "page 403"),
        ("sec-fetch-site: none",                                           "page 403"),
    ];
    let server = Server::new();
    for (lines, expected) in table {
        let form = form_for(&server, "/?token=alice-1", &Jar::default()).await;
        let lines = FORM.replace(own, lines).replace(" |  | ", " | ");
        assert!(!lines.contains(own) || expected == "303 set");
        let response = server.send(form.posted("/", &lines, &Jar::default())).await;
        assert_eq!(outcome(&response), expected, "{lines}");
    }

    let form = form_for(&server, "/?token=alice-1", &Jar::default()).await;
    let evil = FORM.replace("localhost:8888", "evil.example");
    let response = server.send(form.posted("/", &evil, &Jar::default())).await;
    assert_eq!(outcome(&response), "pass 403", "a host that is not served");
}

#[tokio::test]
async fn changed_or_foreign_form_is_refused() {
    let server = Server::new();
    let empty = Jar::default();
    let form = form_for(&server, "/lab?token=alice-1", &empty).await;
    let sealed = form.body.strip_prefix("confirmation=").unwrap();
    let cookie = server.jar("alice-1").0[0].1.clone();
    let switch = form_for(&server, "/lab?token=alice-1", &server.jar("bob-1")).await;
    let mut flipped = sealed.as_bytes().to_vec();
    flipped[40] ^= 1;
    let flipped = String::from_utf8(flipped).unwrap();

    #[rustfmt::skip]
    let table = [
        (form.body.clone(),                              "/lab",   "303 set"),
        (form.body.clone(),                              "/lab/",  "page 400"),
        (form.body.clone(),                              "/",      "page 400"),
        (String::new(),                                  "/lab",   "page 400"),
        ("confirmation=".into(),                         "/lab",   "page 400"),
        (sealed.into(),                                  "/lab",   "page 400"),
        (format!("token={sealed}"),                      "/lab",   "page 400"),
        ("confirmation=alice-1".into(),                  "/lab",   "page 400"),
        ("token=alice-1".into(),                         "/lab",   "page 400"),
        (format!("{}A", form.body),                      "/lab",   "page 400"),
        (format!("{}&a=b", form.body),                   "/lab",   "page 400"),
        (form.body[..form.body.len() - 1].into(),        "/lab",   "page 400"),
        (format!("confirmation={flipped}"),              "/lab",   "page 400"),
        (format!("confirmation={cookie}"),               "/lab",   "page 400"),
        (format!("confirmation={}", &cookie[2..]),       "/lab",   "page 400"),
        (switch.body.clone(),                            "/lab",   "page 400"),
        (format!("{}{}", form.body, "A".repeat(12_288)), "/lab",   "page 400"),
        ("A".repeat(1 << 20),                            "/lab",   "page 400"),
    ];
    for (body, path, expected) in table {
        let form = Form {
            action: form.action.clone(),
            body,
        };
        let response = server.send(form.posted(path, FORM, &empty)).await;
        let shown: String = form.body.chars().take(40).collect();
        assert_eq!(outcome(&response), expected, "{path} {shown}");
    }

    // The content of a form does not open as a cookie.
    let jar = Jar(vec![("__Host-session".into(), format!("1.{sealed}"))]);
    assert_eq!(
        outcome(&server.open("/", TYPED, &jar).await),
        "pass 403 clear"
    );
}

/// The cookie, the token or the time changes before the user submits the form.
#[tokio::test]
async fn form_is_valid_only_for_the_user_that_it_names() {
    #[rustfmt::skip]
    let table = [
        // token       cookie then      cookie now       outcome
        ("alice-1",    None,            None,            "303 set"),
        ("alice-1",    None,            Some("alice-2"), "303 set"),
        ("alice-1",    None,            Some("mallory"), "303 set"),
        ("alice-1",    None,            Some("bob-1"),   "page 400"),
        ("alice-1",    None,            Some("down"),    "page 503"),
        ("alice-1",    None,            Some("boom"),    "page 500"),
        ("alice-1",    Some("bob-1"),   Some("bob-1"),   "303 set"),
        ("alice-1",    Some("bob-1"),   Some("bob-2"),   "303 set"),
        ("alice-1",    Some("bob-1"),   None,            "page 400"),
        ("alice-1",    Some("bob-1"),   Some("alice-1"), "page 400"),
        ("alice-1",    Some("bob-1"),   Some("bob-other issuer"), "page 400"),
    ];
    for slow in [false, true] {
        let server = Server::with(slow, |layer| layer);
        let jar = |token: Option<&str>| token.map(|token| server.jar(token)).unwrap_or_default();
        for (token, before, then, expected) in table {
            let form = form_for(&server, &format!("/?token={token}"), &jar(before)).await;
            let response = server.send(form.posted("/", FORM, &jar(then))).await;
            assert_eq!(outcome(&response), expected, "{token} {before:?} {then:?}");
        }

        let form = form_for(&server, "/?token=alice-1", &Jar::default()).await;
        server.clock.advance(299);
        let submit = || form.posted("/", FORM, &Jar::default());
        assert_eq!(outcome(&server.send(submit()).await), "303 set");
        server.verifier.revoke("alice-1");
        assert_eq!(outcome(&server.send(submit()).await), "page 403");
        server.verifier.revoked.lock().unwrap().clear();
        server.clock.advance(1);
        assert_eq!(outcome(&server.send(submit()).await), "page 400");
    }
}

#[tokio::test]
async fn form_of_the_application_passes() {
    let server = Server::new();
    #[rustfmt::skip]
    let table = [
        ("POST", "/?token=alice-1",                   FORM.to_owned()),
        ("POST", "/?token=alice-1&xtoken-confirmation", FORM.to_owned()),
        ("POST", "/?token=alice-1&token-confirmation", FORM.replace("x-www-form-urlencoded", "json")),
        ("POST", "/?token=alice-1&token-confirmation", FORM.replace("content-type", "x-type")),
        ("GET",  "/?token=alice-1&token-confirmation", FORM.replace("text/html", "*/*")),
        ("PUT",  "/?token=alice-1&token-confirmation", FORM.to_owned()),
    ];
    for (method, target, lines) in table {
        let response = server
            .send(request(method, target, &lines, &Jar::default()))
            .await;
        assert_eq!(outcome(&response), "pass 200", "{method} {target} {lines}");
    }
}

/// A body that never arrives, or fails.
struct Stuck {
    fails: bool,
}

impl Body for Stuck {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self.fails {
            true => Poll::Ready(Some(Err("connection reset"))),
            false => Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn form_that_does_not_arrive_is_refused() {
    let server = Server::new();
    let form = form_for(&server, "/?token=alice-1", &Jar::default()).await;
    let layer = PersistTokenLayer::new(server.verifier.clone(), server.cookie.clone());
    for (fails, expected) in [(true, "page 400"), (false, "page 408")] {
        let inner = tower::service_fn(async |_: Request<Stuck>| {
            Ok::<Response<Bytes>, Infallible>(Response::default())
        });
        let request = form
            .posted("/", FORM, &Jar::default())
            .map(|_| Stuck { fails });
        let response = layer.layer(inner).oneshot(request).await.unwrap();
        assert_eq!(outcome(&response), expected);
    }
}
