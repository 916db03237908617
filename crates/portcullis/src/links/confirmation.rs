use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use portcullis_core::{Carrier, Credential, Identity, Scheme, Verify};

use super::link::Link;
use super::porter::{Porter, Settings, Standing};
use super::{page, redirect};
use crate::carrier::remove_parameter;
use crate::seal::Borne;

/// What a page asks its reader before the cookie is set.
///
/// The token goes with the question, under a seal that is good for this alone: for five minutes,
/// for this address, and for as long as nobody else logs in. Who holds the sealed text and is not
/// a page of ours can do nothing with it.
pub(super) struct Question {
    /// Where the answer is posted to: the query of the address, with the mark of an answer.
    pub(super) action: String,
    /// Where to go without an answer.
    pub(super) rest: String,
    pub(super) sealed: String,
}

impl Question {
    /// `other` is the one who would be logged out.
    pub(super) fn about(link: &Link, other: Option<&Identity>, settings: &Settings) -> Self {
        let mark = mark(settings);
        let secret = link.token.expose_secret();
        let purpose = purpose(settings, link.rest.path(), other);
        Self {
            action: match link.rest.query() {
                Some(query) => format!("?{query}&{mark}"),
                None => format!("?{mark}"),
            },
            rest: redirect::location(&link.rest),
            sealed: settings.cookie.seal_for(&purpose, secret, OPEN_FOR),
        }
    }
}

/// The answer to a question: a form that one of our pages has posted.
pub(super) struct Confirmation<B> {
    body: B,
    borne: Borne,
    same_origin: bool,
    /// The address without the mark.
    rest: Uri,
}

impl<B> Confirmation<B> {
    /// Whether `request` bears the mark of an answer, and so is ours.
    pub(super) fn is(request: &Request<B>, settings: &Settings) -> bool {
        request.method() == Method::POST
            && request.headers().get(CONTENT_TYPE).is_some_and(|kind| {
                let kind = kind.as_bytes();
                let end = kind.iter().position(|byte| *byte == b';');
                kind[..end.unwrap_or(kind.len())]
                    .trim_ascii()
                    .eq_ignore_ascii_case(FORM)
            })
            && remove_parameter(request.uri(), &mark(settings)).is_some()
    }

    pub(super) fn of(request: Request<B>, settings: &Settings) -> Self {
        let same_origin = settings.is_same_origin(&request, false);
        let borne = settings.cookie.borne_by(request.headers());
        let (parts, body) = request.into_parts();
        Self {
            body,
            borne,
            same_origin,
            rest: remove_parameter(&parts.uri, &mark(settings)).unwrap_or(parts.uri),
        }
    }
}

impl<V: Verify> Porter<V> {
    /// Logs in whoever has confirmed.
    pub(super) async fn confirm<B: Body>(self, answer: Confirmation<B>) -> Response<Bytes> {
        let Confirmation {
            body,
            borne,
            same_origin,
            rest,
        } = answer;
        let settings = &*self.settings;
        if !same_origin {
            return page::failure(
                StatusCode::FORBIDDEN,
                "Only a page of this server can confirm this.",
            );
        }
        let limit = settings.verify_timeout;
        let form = match tokio::time::timeout(limit, read(body)).await {
            Ok(form) => form,
            Err(_) => return page::failure(StatusCode::REQUEST_TIMEOUT, "The form took too long."),
        };

        let present = match self.present(&borne).await {
            Ok(present) => present,
            Err(refusal) => return page::refused(&refusal),
        };
        let sealed = form.as_deref().and_then(field);
        // It was asked whether the one who is present should go, or it was asked when nobody was.
        let opened = sealed.and_then(|sealed| {
            let opened = |other| {
                let purpose = purpose(settings, rest.path(), other);
                settings.cookie.open_for(&purpose, sealed)
            };
            let about_present = present.as_ref().and_then(|other| opened(Some(other)));
            about_present
                .map(|message| (message, true))
                .or_else(|| opened(None).map(|message| (message, false)))
        });
        let Some((message, may_switch)) = opened else {
            return no_longer_open();
        };

        let token = Credential::new(Carrier::Query, Scheme::Bearer, message.secret.as_str());
        let identity = match self.whose(&token).await {
            Ok(identity) => identity,
            Err(refusal) => return page::refused(&refusal),
        };
        let standing = Standing {
            token: identity,
            present,
        };
        if standing.other().is_some() && !may_switch {
            return no_longer_open();
        }
        let identity = standing.token;
        let secret = token.expose_secret();
        match settings.cookie.set(secret, identity.expires_at(), &borne) {
            Some(cookies) => {
                let subject = identity.subject();
                tracing::debug!(target: "portcullis", subject, "a confirmed link logs a browser in");
                redirect::see_other(&rest, cookies)
            }
            None => page::failure(StatusCode::FORBIDDEN, "The link has ended."),
        }
    }
}

fn no_longer_open() -> Response<Bytes> {
    page::failure(
        StatusCode::BAD_REQUEST,
        "The question is no longer open. Please open the link again.",
    )
}

/// What the seal of a question is good for.
fn purpose<'a>(settings: &'a Settings, path: &'a str, other: Option<&'a Identity>) -> Vec<&'a str> {
    let mut purpose = vec!["confirmation", settings.cookie.name(), path];
    if let Some(other) = other {
        purpose.extend([other.subject(), other.issuer().unwrap_or_default()]);
    }
    purpose
}

/// The query parameter that marks an answer. It has no value.
fn mark(settings: &Settings) -> String {
    format!("{}-confirmation", settings.parameter.name())
}

/// The whole body, unless it is larger than any form of ours.
async fn read<B: Body>(body: B) -> Option<Vec<u8>> {
    let mut body = pin!(body);
    let mut form = Vec::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let Ok(mut data) = frame.ok()?.into_data() else {
            continue;
        };
        while data.has_remaining() {
            let chunk = data.chunk();
            if form.len() + chunk.len() > MAX_FORM {
                return None;
            }
            form.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Some(form)
}

/// The value of the one field. It is base64url, which a form sends as it is.
fn field(form: &[u8]) -> Option<&str> {
    let value = form.strip_prefix(FIELD.as_bytes())?.strip_prefix(b"=")?;
    std::str::from_utf8(value).ok()
}

pub(super) const FIELD: &str = "confirmation";

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// A credential of 8 KiB, sealed and in base64, is some 11 KB.
const MAX_FORM: usize = 12 * 1024;

/// How long a question stays open.
const OPEN_FOR: Duration = Duration::from_secs(300);
