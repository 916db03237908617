//! The pages that ask and refuse: a few lines of HTML, without script, under a policy that allows
//! nothing but their own style and a form to ourselves.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

use super::confirmation::{FIELD, Question};
use super::redirect::REFERRER_POLICY;
use crate::refusal::Refusal;

/// Nobody is logged in, and the link may be somebody else's.
pub(super) fn ask(subject: &str, question: &Question) -> Response<Bytes> {
    let subject = name(subject);
    let title = format!("Continue as {subject}?");
    let text = format!(
        "The link you opened logs you in here as {subject}. \
         Go on only if you expected this: what you do next is seen by whoever has this login."
    );
    let form = form(&format!("Continue as {subject}"), "Not now", question);
    page(StatusCode::OK, &title, &text, &form)
}

/// Somebody else is logged in.
pub(super) fn switch(present: &str, subject: &str, question: &Question) -> Response<Bytes> {
    let (present, subject) = (name(present), name(subject));
    let title = format!("You are {present}. Switch to {subject}?");
    let text = format!(
        "You are logged in as {present}, and the link you opened is a login of {subject}. \
         Switch only if you expected this: what you do next is seen by whoever has this login."
    );
    let (switch, stay) = (format!("Switch to {subject}"), format!("Stay {present}"));
    page(
        StatusCode::CONFLICT,
        &title,
        &text,
        &form(&switch, &stay, question),
    )
}

/// The answer to a question leads to nothing.
pub(super) fn failure(status: StatusCode, text: &str) -> Response<Bytes> {
    page(status, "The login did not happen", &escape(text), "")
}

/// The credential that was asked about is no good by now, or the verifier cannot tell.
pub(super) fn refused(refusal: &Refusal) -> Response<Bytes> {
    let status = match refusal.kind().is_of_the_credential() {
        // Not 401: a page has no way to answer a challenge.
        true => StatusCode::FORBIDDEN,
        false => refusal.status(),
    };
    let mut response = failure(status, refusal.detail());
    if let Some(delay) = refusal.retry_after() {
        let delay = HeaderValue::from(delay.as_secs().max(1));
        response.headers_mut().insert(RETRY_AFTER, delay);
    }
    response
}

/// `heading`, `text` and `form` are HTML.
fn page(status: StatusCode, heading: &str, text: &str, form: &str) -> Response<Bytes> {
    let title = heading.replace("<bdi>", "").replace("</bdi>", "");
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <main>\n<h1>{heading}</h1>\n<p>{text}</p>\n{form}</main>\n</html>\n"
    );
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        // With `no-referrer` the browser would post the form with `Origin: null`. This one sends
        // no path and no query either.
        (REFERRER_POLICY, "strict-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The target of a form that is only a query keeps the path that the browser has, byte for byte.
fn form(yes: &str, no: &str, question: &Question) -> String {
    format!(
        "<form method=\"post\" action=\"{action}\">\n\
         <input type=\"hidden\" name=\"{FIELD}\" value=\"{sealed}\">\n\
         <button>{yes}</button>\n<a href=\"{rest}\">{no}</a>\n</form>\n",
        action = escape(&question.action),
        sealed = escape(&question.sealed),
        rest = escape(&question.rest),
    )
}

/// A subject, for a reader. It is text of somebody else's choice: it must not open a tag, turn the
/// direction of what stands beside it, or push it off the screen.
fn name(subject: &str) -> String {
    let is_invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut shown: String = subject
        .chars()
        .take(MAX_SHOWN)
        .map(|c| if is_invisible(c) { '\u{fffd}' } else { c })
        .collect();
    if subject.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    format!("<bdi>{}</bdi>", escape(&shown))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// So many characters of a subject are shown.
const MAX_SHOWN: usize = 64;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0;min-height:100vh;display:grid;place-items:center;font:1rem/1.5 system-ui,sans-serif}\
main{max-width:30rem;padding:2rem;overflow-wrap:anywhere}\
h1{font-size:1.4rem;line-height:1.25;margin:0 0 1rem}\
p{margin:0 0 1.5rem}\
form{display:flex;flex-wrap:wrap;gap:1rem;align-items:center}\
button{font:inherit;padding:.6rem 1.2rem;border:0;border-radius:.4rem;background:#1a56c4;color:#fff;cursor:pointer}\
:focus-visible{outline:3px solid #f4a300;outline-offset:2px}";

/// `style-src` names the digest of [`STYLE`]; a test computes it.
const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-0hTPTHGNV5/gAlVUGPjcns3hfcxiCx0/Ok0M5Th3nNI='; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    fn text_of(response: &Response<Bytes>) -> &str {
        std::str::from_utf8(response.body()).unwrap()
    }

    fn question() -> Question {
        Question {
            action: "?a=\"><script>&token-confirmation".into(),
            rest: "/\"onload='x'?a=1&b".into(),
            sealed: "abc".into(),
        }
    }

    #[test]
    fn the_policy_names_the_style() {
        let digest = STANDARD.encode(Sha256::digest(STYLE));
        assert!(POLICY.contains(&format!("'sha256-{digest}'")), "{digest}");
        assert_eq!(POLICY.matches("sha256").count(), 1);
    }

    #[test]
    fn a_subject_is_text() {
        let table = [
            ("alice", "alice"),
            ("<b>", "&lt;b&gt;"),
            ("a\"b'c&d", "a&quot;b&#39;c&amp;d"),
            ("\u{202e}ecila", "\u{fffd}ecila"),
            (
                "a\u{2066}b\u{2069}\u{200b}\0\n",
                "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("алиса", "алиса"),
        ];
        for (subject, shown) in table {
            assert_eq!(name(subject), format!("<bdi>{shown}</bdi>"), "{subject:?}");
        }
        let long = "x".repeat(MAX_SHOWN);
        assert_eq!(name(&long), format!("<bdi>{long}</bdi>"));
        assert_eq!(name(&format!("{long}x")), format!("<bdi>{long}…</bdi>"));
    }

    /// The names of the tags, in order.
    fn tags(html: &str) -> Vec<&str> {
        let tags = html.split('<').skip(1);
        tags.map(|tag| tag.split([' ', '>']).next().unwrap())
            .collect()
    }

    #[test]
    fn nothing_of_the_address_or_a_subject_is_markup() {
        let hostile = "</title><script>alert(1)</script>";
        let tame = Question {
            action: "?token-confirmation".into(),
            rest: "/".into(),
            sealed: "abc".into(),
        };
        let pages = [
            (ask(hostile, &question()), ask("alice", &tame)),
            (
                switch(hostile, "\"><img>", &question()),
                switch("alice", "bob", &tame),
            ),
        ];
        for (hostile, tame) in pages {
            let (hostile, tame) = (text_of(&hostile), text_of(&tame));
            assert_eq!(tags(hostile), tags(tame), "{hostile}");
            assert_eq!(
                hostile.matches('"').count(),
                tame.matches('"').count(),
                "{hostile}"
            );
            assert!(!hostile.contains('\''), "{hostile}");
        }
    }

    #[test]
    fn a_page_is_for_one_reader_and_has_no_frame() {
        for response in [
            ask("alice", &question()),
            failure(StatusCode::FORBIDDEN, "No & no."),
        ] {
            let policy = response.headers()[CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap();
            for part in [
                "default-src 'none'",
                "form-action 'self'",
                "frame-ancestors 'none'",
            ] {
                assert!(policy.contains(part), "{policy}");
            }
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            assert_eq!(response.headers()[REFERRER_POLICY], "strict-origin");
            assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        }
    }
}
