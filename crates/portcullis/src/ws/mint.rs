use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::ORIGIN;
use portcullis_core::{Identity, StoreError, TicketStore};
use serde::Deserialize;
use serde_json::json;

use super::handlers::{ByRequest, Endpoint, answer, malformed, small_body};
use super::refuse;
use crate::peer::peer_of;
use crate::refusal::{Refusal, RefusalKind};
use crate::ticket::tickets::Tickets;
use crate::ticket::{Binding, MintError};

/// Creates a handler that mints a ticket for the identity of the request; see [`Tickets`].
///
/// Use it for a `POST` route behind an [`AuthLayer`](crate::AuthLayer). The body is empty, or
/// `{"path":"/ws"}` for a ticket that is valid for one path of the tickets. The response is
/// `{"ticket":"…","expires_in":<seconds>}`. As for every `POST`, a cookie needs an allowed `Origin`.
///
/// # Errors
///
/// The layer around the route answers a failed request like every [refusal](crate::refusal), with
/// its responder and the statuses of its profile. By default:
///
/// | status | cause |
/// |---|---|
/// | 400 | the body is something else, or names a path that the tickets are not for |
/// | 401 | the credential has expired since admission |
/// | 429 | the store is full |
/// | 500 | the type of the claims is not registered; see [`Tickets::with_claims`] |
/// | 503 | the store is unavailable |
pub fn mint_handler<T, S>(tickets: &Arc<Tickets<T>>) -> impl Handler<(ByRequest,), S>
where
    T: TicketStore,
    S: Send + Sync + 'static,
{
    let tickets = Arc::clone(tickets);
    Endpoint(move |request: Request| {
        let tickets = Arc::clone(&tickets);
        async move { mint(&tickets, request).await }
    })
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MintRequest {
    path: Option<String>,
}

async fn mint<T>(tickets: &Tickets<T>, request: Request) -> Response
where
    T: TicketStore,
{
    let (mut parts, body) = request.into_parts();
    let identity =
        match <Identity as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await {
            Ok(identity) => identity,
            Err(missing) => return missing.into_response(),
        };
    let expected = r#"the body has to be empty, or {"path":"<the path of the socket>"}"#;
    let Some(body) = small_body(body).await else {
        return refuse(malformed(expected), parts, false);
    };
    let request = match body.is_empty() {
        true => Ok(MintRequest::default()),
        false => serde_json::from_slice(&body),
    };
    let Ok(MintRequest { path }) = request else {
        return refuse(malformed(expected), parts, false);
    };
    let origin = parts.headers.get(ORIGIN).and_then(|it| it.to_str().ok());
    let binding = Binding {
        path: path.map(Into::into),
        origin: origin.map(Into::into),
        peer: peer_of(&parts.extensions).map(|peer| peer.ip()),
    };
    match tickets.mint(&identity, binding).await {
        Ok(ticket) => {
            let minted = json!({
                "ticket": ticket.expose_secret(),
                "expires_in": ticket.expires_in().as_secs(),
            });
            answer(&minted)
        }
        Err(MintError::Claims(error)) => {
            tracing::error!(target: "portcullis", "cannot mint a ticket: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(error) => refuse(not_minted(&error), parts, false),
    }
}

fn not_minted(error: &MintError) -> Refusal {
    let kind = match error {
        MintError::Expired => return Refusal::new(RefusalKind::ExpiredCredential),
        MintError::OtherPath => RefusalKind::MalformedRequest,
        MintError::Store(StoreError::Full) => RefusalKind::TooManyTickets,
        _ => RefusalKind::StoreUnavailable,
    };
    Refusal::new(kind).with_detail(error.to_string())
}
