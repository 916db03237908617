use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use portcullis_core::{Carrier, Credential, Identity, Scheme, Verify};

use super::link::Link;
use super::login::{Login, Users};
use super::settings::{ReceivedCookie, Settings};
use super::{page, redirect};
use crate::carrier::remove_parameter;

/// The form that asks the user before the cookie is set.
///
/// It contains the token, sealed for this purpose only: for five minutes, for one URL, and for the
/// user that is logged in now. To use the sealed text, an attacker needs a page of this server.
pub(super) struct ConfirmationForm {
    /// The relative URL of the `POST`: the query of the page, with the marker.
    pub(super) action: String,
    /// The URL of the link that declines.
    pub(super) target: String,
    pub(super) sealed: String,
}

impl ConfirmationForm {
    /// Creates the form. `other` is the user that the login would log out.
    pub(super) fn new(link: &Link, other: Option<&Identity>, settings: &Settings) -> Self {
        let marker = marker(settings);
        let secret = link.token.expose_secret();
        let purpose = purpose(settings, link.target.path(), other);
        Self {
            action: match link.target.query() {
                Some(query) => format!("?{query}&{marker}"),
                None => format!("?{marker}"),
            },
            target: redirect::location(&link.target),
            sealed: settings.cookie.seal_for(&purpose, secret, OPEN_FOR),
        }
    }
}

/// A submitted form.
pub(super) struct Confirmation<B> {
    body: B,
    received: ReceivedCookie,
    is_same_origin: bool,
    /// The URL without the marker.
    target: Uri,
}

impl<B> Confirmation<B> {
    /// Returns whether the request is a `POST` of a form with the marker.
    pub(super) fn is(request: &Request<B>, settings: &Settings) -> bool {
        request.method() == Method::POST
            && request.headers().get(CONTENT_TYPE).is_some_and(|value| {
                let value = value.as_bytes();
                let end = value.iter().position(|byte| *byte == b';');
                value[..end.unwrap_or(value.len())]
                    .trim_ascii()
                    .eq_ignore_ascii_case(FORM)
            })
            && remove_parameter(request.uri(), &marker(settings)).is_some()
    }

    pub(super) fn of(request: Request<B>, settings: &Settings) -> Self {
        let is_same_origin = settings.is_same_origin(&request, false);
        let received = settings.read_cookie(&request);
        let (parts, body) = request.into_parts();
        Self {
            body,
            received,
            is_same_origin,
            target: remove_parameter(&parts.uri, &marker(settings)).unwrap_or(parts.uri),
        }
    }
}

impl<V: Verify> Login<V> {
    /// Logs the user in if the form is valid, and redirects to the page.
    pub(super) async fn confirm<B: Body>(&self, confirmation: Confirmation<B>) -> Response<Bytes> {
        let Confirmation {
            body,
            received,
            is_same_origin,
            target,
        } = confirmation;
        let settings = &*self.settings;
        if !is_same_origin {
            return page::failure(
                StatusCode::FORBIDDEN,
                "Only a page of this server can confirm a login.",
            );
        }
        let limit = self.verifier.verify_timeout;
        let form = match tokio::time::timeout(limit, read(body)).await {
            Ok(form) => form,
            Err(_) => {
                return page::failure(
                    StatusCode::REQUEST_TIMEOUT,
                    "The form did not arrive in time.",
                );
            }
        };

        let of_cookie = match self.user_of(&received).await {
            Ok(user) => user,
            Err(refusal) => return page::refused(&refusal),
        };
        // The form named either the user of the cookie as the one to log out, or no user.
        let sealed = form.as_deref().and_then(field);
        let opened = sealed.and_then(|sealed| {
            let open = |other| {
                let purpose = purpose(settings, target.path(), other);
                settings.cookie.open_for(&purpose, sealed)
            };
            let named = of_cookie.as_ref().and_then(|user| open(Some(user)));
            named
                .map(|message| (message, true))
                .or_else(|| open(None).map(|message| (message, false)))
        });
        let Some((message, may_switch)) = opened else {
            return expired();
        };

        let token = Credential::new(Carrier::Query, Scheme::Bearer, message.secret.as_str());
        let of_token = match self.verify(&token).await {
            Ok(identity) => identity,
            Err(refusal) => return page::refused(&refusal),
        };
        let users = Users {
            of_token,
            of_cookie,
        };
        if users.other().is_some() && !may_switch {
            return expired();
        }
        let user = users.of_token;
        let secret = token.expose_secret();
        match settings.cookie.set(secret, user.expires_at(), &received) {
            Some(cookies) => {
                let subject = user.subject();
                tracing::debug!(target: "portcullis", subject, "a confirmed link logs a browser in");
                redirect::see_other(&target, cookies)
            }
            None => page::failure(StatusCode::FORBIDDEN, "The link has expired."),
        }
    }
}

fn expired() -> Response<Bytes> {
    page::failure(
        StatusCode::BAD_REQUEST,
        "This confirmation has expired. Please open the link again.",
    )
}

/// Returns the purpose that the form is sealed for.
fn purpose<'a>(settings: &'a Settings, path: &'a str, other: Option<&'a Identity>) -> Vec<&'a str> {
    let mut purpose = vec!["confirmation", settings.cookie.name(), path];
    if let Some(other) = other {
        purpose.push(other.subject());
        purpose.extend(other.issuer());
    }
    purpose
}

/// Returns the query parameter, without a value, that marks the `POST` of a form.
fn marker(settings: &Settings) -> String {
    format!("{}-confirmation", settings.parameter.name())
}

/// Reads the whole body; `None` if it is larger than a form can be.
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

/// Returns the value of the only field. It is base64url, which forms send without escapes.
fn field(form: &[u8]) -> Option<&str> {
    let value = form.strip_prefix(FIELD.as_bytes())?.strip_prefix(b"=")?;
    std::str::from_utf8(value).ok()
}

pub(super) const FIELD: &str = "confirmation";

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// The largest form, in bytes. A credential of 8 KiB, sealed and in base64, has about 11 KB.
const MAX_FORM: usize = 12 * 1024;

/// How long the user can submit the form.
const OPEN_FOR: Duration = Duration::from_secs(300);
