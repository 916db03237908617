use http::header::{
    CACHE_CONTROL, CONNECTION, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_VERSION,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{Response, StatusCode};
use portcullis_core::{Carrier, Scheme};

use super::{Refusal, RefusalKind, Respond};
use crate::carrier::CarrierConfig;
use crate::trace::Redacted;

/// What a profile says about refusals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RefusalPolicy<'a> {
    /// The name of the profile, for the log.
    pub(crate) profile: Option<&'a str>,
    pub(crate) statuses: &'a [StatusRule],
    /// The carriers that challenges are derived from.
    pub(crate) carriers: &'a [CarrierConfig],
}

/// The status for one kind of refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusRule {
    pub(crate) kind: RefusalKind,
    /// The carrier that the rule applies to; all if there is none.
    pub(crate) carrier: Option<Carrier>,
    pub(crate) status: StatusCode,
}

/// Turns a refusal into a response, and logs it. Every refusal uses this function.
///
/// The responder sees `request`, so it must not contain a credential.
pub(crate) fn answer<R: Respond<B>, B>(
    mut refusal: Refusal,
    policy: &RefusalPolicy<'_>,
    responder: &R,
    request: &Parts,
    upgrade: bool,
) -> Response<B> {
    refusal.status = policy.status_for(&refusal);
    tracing::event!(
        name: "refused",
        target: "portcullis",
        tracing::Level::DEBUG,
        kind = refusal.kind.as_str(),
        carrier = refusal.carrier.map(Carrier::as_str),
        profile = policy.profile,
        status = refusal.status.as_u16(),
        method = %request.method,
        uri = %Redacted(&request.uri),
        reason = refusal.reason.as_deref(),
        "{refusal}"
    );
    respond(refusal, policy, responder, request, upgrade)
}

/// Builds the response without logging it.
pub(super) fn respond<R: Respond<B>, B>(
    refusal: Refusal,
    policy: &RefusalPolicy<'_>,
    responder: &R,
    request: &Parts,
    upgrade: bool,
) -> Response<B> {
    let mut response = responder.respond(&refusal, request);
    let status = response.status();
    // A client would take this status for an accepted upgrade.
    if upgrade && (status.is_informational() || status.is_success()) {
        tracing::error!(
            target: "portcullis",
            "the responder set with `respond` answers a refused upgrade with {status}, which means \
             success; the response is {} instead",
            refusal.status,
        );
        *response.status_mut() = refusal.status;
    }
    let status = response.status();
    add_headers(
        response.headers_mut(),
        status,
        &refusal,
        policy,
        request,
        upgrade,
    );
    response.extensions_mut().insert(refusal);
    response
}

fn add_headers(
    headers: &mut HeaderMap,
    status: StatusCode,
    refusal: &Refusal,
    policy: &RefusalPolicy<'_>,
    request: &Parts,
    upgrade: bool,
) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if upgrade && request.version <= http::Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if refusal.kind == RefusalKind::UnsupportedVersion {
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    if let Some(delay) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
    }
    if refusal.kind == RefusalKind::InsufficientScope {
        headers.insert(WWW_AUTHENTICATE, refusal.bearer_challenge());
    } else if status == StatusCode::UNAUTHORIZED {
        add_challenges(headers, refusal, policy, request);
    }
}

fn add_challenges(
    headers: &mut HeaderMap,
    refusal: &Refusal,
    policy: &RefusalPolicy<'_>,
    request: &Parts,
) {
    // With a challenge for Basic, a browser asks the user for a password, even if a page of another
    // site sent the request.
    let may_prompt = !request.headers.contains_key(ORIGIN);
    for scheme in policy.challenges() {
        match scheme {
            Scheme::Basic if may_prompt => {
                let basic = r#"Basic realm="portcullis", charset="UTF-8""#;
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(basic));
            }
            Scheme::Basic => {}
            _ => {
                headers.append(WWW_AUTHENTICATE, refusal.bearer_challenge());
            }
        }
    }
}

impl RefusalPolicy<'_> {
    /// Returns the status of the rule that was added last.
    fn status_for(&self, refusal: &Refusal) -> StatusCode {
        let applies = |rule: &&StatusRule| {
            rule.kind == refusal.kind && (rule.carrier.is_none() || rule.carrier == refusal.carrier)
        };
        let rule = self.statuses.iter().rev().find(applies);
        rule.map_or(refusal.kind.default_status(), |rule| rule.status)
    }

    /// Returns the schemes that a client may answer with. A profile that does not read the
    /// `Authorization` header names `Bearer`, because every 401 needs a challenge (RFC 9110
    /// §15.5.2).
    fn challenges(&self) -> impl Iterator<Item = Scheme> {
        let mut of_header = self
            .carriers
            .iter()
            .filter_map(|carrier| match carrier {
                CarrierConfig::Authorization(authorization) => Some(authorization.challenges()),
                _ => None,
            })
            .flatten()
            .peekable();
        let fallback = of_header.peek().is_none().then_some(Scheme::Bearer);
        of_header.chain(fallback)
    }
}

impl Refusal {
    /// Returns the challenge of RFC 6750 §3. It has no error code if the client sent no credential.
    fn bearer_challenge(&self) -> HeaderValue {
        if let Some(scopes) = &self.scopes {
            let challenge = format!(r#"Bearer error="insufficient_scope", scope="{scopes}""#);
            // If a scope contains bytes that a header cannot contain, the plain challenge stays.
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                return challenge;
            }
        }
        match self.kind.error_code() {
            None => HeaderValue::from_static("Bearer"),
            Some("invalid_request") => {
                HeaderValue::from_static(r#"Bearer error="invalid_request""#)
            }
            Some("insufficient_scope") => {
                HeaderValue::from_static(r#"Bearer error="insufficient_scope""#)
            }
            Some(_) => HeaderValue::from_static(r#"Bearer error="invalid_token""#),
        }
    }
}
