//! The pages that ask for a confirmation or report a failure: a few lines of HTML without script.
//! Their content security policy allows only their own style and a form to the same origin.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

use super::confirmation::{ConfirmationForm, FIELD};
use super::redirect::REFERRER_POLICY;
use crate::refusal::Refusal;

/// Asks whether to log in as `subject`. No user is logged in.
pub(super) fn confirm(subject: &str, form: &ConfirmationForm) -> Response<Bytes> {
    let subject = name(subject);
    let title = format!("Continue as {subject}?");
    let text = format!(
        "The link that you opened logs you in as {subject}. Continue only if you expected this: \
         anyone with access to this account can see what you do next."
    );
    let form = form_html(&format!("Continue as {subject}"), "Not now", form);
    page(StatusCode::OK, &title, &text, &form)
}

/// Asks whether to log in as `subject` instead of `present`.
pub(super) fn switch(present: &str, subject: &str, form: &ConfirmationForm) -> Response<Bytes> {
    let (present, subject) = (name(present), name(subject));
    let title = format!("You are {present}. Switch to {subject}?");
    let text = format!(
        "You are logged in as {present}. The link that you opened logs you in as {subject} \
         instead. Switch only if you expected this: anyone with access to that account can see \
         what you do next."
    );
    let (switch, stay) = (format!("Switch to {subject}"), format!("Stay {present}"));
    page(
        StatusCode::CONFLICT,
        &title,
        &text,
        &form_html(&switch, &stay, form),
    )
}

/// Reports that a submitted form did not log the user in.
pub(super) fn failure(status: StatusCode, text: &str) -> Response<Bytes> {
    page(status, "Login failed", &escape(text), "")
}

/// Reports that the credential of a form was refused, or could not be verified.
pub(super) fn refused(refusal: &Refusal) -> Response<Bytes> {
    let status = match refusal.kind().is_of_the_credential() {
        // Not 401, because a page cannot answer a challenge.
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

/// Returns a page. `heading`, `text` and `form` are HTML.
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
        // With `no-referrer` the browser would send the form with `Origin: null`. `strict-origin`
        // sends no path and no query either.
        (REFERRER_POLICY, "strict-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns the form. Its relative action, only a query, keeps the path of the page byte for byte.
fn form_html(yes: &str, no: &str, form: &ConfirmationForm) -> String {
    format!(
        "<form method=\"post\" action=\"{action}\">\n\
         <input type=\"hidden\" name=\"{FIELD}\" value=\"{sealed}\">\n\
         <button>{yes}</button>\n<a href=\"{target}\">{no}</a>\n</form>\n",
        action = escape(&form.action),
        sealed = escape(&form.sealed),
        target = escape(&form.target),
    )
}

/// Returns a subject as HTML.
///
/// An attacker may have chosen the subject. It must not contain markup, change the direction of the
/// text next to it, or move that text off the screen.
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

/// How many characters of a subject are shown.
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

/// The content security policy. `style-src` contains the digest of [`STYLE`]; a test computes it.
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

    fn form() -> ConfirmationForm {
        ConfirmationForm {
            action: "?a=\"><script>&token-confirmation".into(),
            target: "/\"onload='x'?a=1&b".into(),
            sealed: "abc".into(),
        }
    }

    #[test]
    fn policy_contains_the_digest_of_the_style() {
        let digest = STANDARD.encode(Sha256::digest(STYLE));
        assert!(POLICY.contains(&format!("'sha256-{digest}'")), "{digest}");
        assert_eq!(POLICY.matches("sha256").count(), 1);
    }

    #[test]
    fn subject_is_escaped_and_shortened() {
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

    /// Returns the names of the tags, in order.
    fn tags(html: &str) -> Vec<&str> {
        let tags = html.split('<').skip(1);
        tags.map(|tag| tag.split([' ', '>']).next().unwrap())
            .collect()
    }

    #[test]
    fn address_and_subject_contain_no_markup() {
        let hostile = "</title><script>alert(1)</script>";
        let tame = ConfirmationForm {
            action: "?token-confirmation".into(),
            target: "/".into(),
            sealed: "abc".into(),
        };
        let pages = [
            (confirm(hostile, &form()), confirm("alice", &tame)),
            (
                switch(hostile, "\"><img>", &form()),
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
    fn page_is_not_stored_and_not_framed() {
        for response in [
            confirm("alice", &form()),
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
