//! Links that log a guest in for at most a day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{delete, post};
use axum::{Json, Router};
use portcullis::session::Revocation;
use portcullis::{Credential, Identity, Verify, VerifyError};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{ApiError, Body};
use crate::connections::Connections;
use crate::options::random_hex;
use crate::wire::timestamp;

/// The default and maximum lifetime of a link.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The maximum number of links at a time.
const MAX_LINKS: usize = 100;

/// The length of a link's id, in hexadecimal digits.
const ID_LENGTH: usize = 12;

/// The guests, by the SHA-256 digest of their tokens.
///
/// It is also the verifier of these tokens. Links do not survive a restart of the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShareLinks(Arc<Mutex<HashMap<[u8; 32], Identity>>>);

impl ShareLinks {
    /// Creates a token for a new guest. Returns `None` if there are too many links.
    fn mint(&self, lifetime: Duration) -> std::io::Result<Option<(String, Identity)>> {
        let (token, mut id) = (random_hex()?, random_hex()?);
        id.truncate(ID_LENGTH);
        let now = SystemTime::now();
        let mut guests = self.lock();
        guests.retain(|_, guest| !guest.is_expired(now));
        if guests.len() >= MAX_LINKS {
            return Ok(None);
        }
        // The name is random because servers with the same Redis share revocations by subject.
        let guest = Identity::builder(format!("guest-{id}"))
            .token_id(id)
            .issued_at(now)
            .expires_at(now + lifetime)
            .build();
        guests.insert(digest(&token), guest.clone());
        Ok(Some((token, guest)))
    }

    /// Lists the guests of all links, oldest first.
    fn list(&self) -> Vec<Identity> {
        let now = SystemTime::now();
        let mut guests: Vec<_> = self.lock().values().cloned().collect();
        guests.retain(|guest| !guest.is_expired(now));
        guests.sort_by_key(Identity::issued_at);
        guests
    }

    fn find(&self, revocation: &Revocation) -> Option<Identity> {
        let guests = self.lock();
        let guest = guests.values().find(|guest| revocation.covers(guest));
        guest.cloned()
    }

    /// Removes the links that `revocation` covers.
    pub(crate) fn remove(&self, revocation: &Revocation) {
        self.lock().retain(|_, guest| !revocation.covers(guest));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Identity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verify for ShareLinks {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.verify_now(credential)
            .unwrap_or(Err(VerifyError::Invalid))
    }

    /// Looks the token up by its digest, so that timing does not reveal a valid token.
    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        let guests = self.lock();
        let guest = guests.get(&digest(credential.expose_secret()));
        Some(match guest {
            Some(guest) if guest.is_expired(SystemTime::now()) => Err(VerifyError::Expired),
            Some(guest) => Ok(guest.clone()),
            None => Err(VerifyError::Invalid),
        })
    }
}

/// The routes that mint, list and revoke links.
pub(crate) fn routes(links: &ShareLinks, connections: &Connections) -> Router {
    Router::new()
        .route("/api/share", post(mint).get(list))
        .route("/api/share/{id}", delete(revoke))
        .with_state((links.clone(), connections.clone()))
}

type Shared = State<(ShareLinks, Connections)>;

#[derive(Debug, Default, Deserialize)]
struct MintRequest {
    /// The lifetime in seconds, at most a day. A day if absent.
    expires_in: Option<u64>,
}

/// Mints a link. Its response is the only one that contains a token.
async fn mint(
    State((links, connections)): Shared,
    owner: Identity,
    headers: HeaderMap,
    Body(request): Body<Option<MintRequest>>,
) -> Result<Json<Value>, ApiError> {
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let host = host.ok_or_else(|| ApiError::bad_request("the request has no Host header"))?;
    let seconds = request.unwrap_or_default().expires_in;
    let lifetime = seconds.map_or(LIFETIME, |it| Duration::from_secs(it).min(LIFETIME));
    let (token, guest) = links
        .mint(lifetime)
        .map_err(|error| {
            tracing::error!(%error, "cannot generate a token for a link");
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "cannot generate a token for the link",
            )
        })?
        .ok_or_else(|| ApiError::new(StatusCode::TOO_MANY_REQUESTS, "there are too many links"))?;
    connections.audit.shared(&owner, &guest);
    Ok(Json(json!({
        "id": guest.token_id(),
        "guest": guest.subject(),
        "url": format!("http://{host}/?token={token}"),
        "expires_in": lifetime.as_secs(),
    })))
}

/// Lists the links with the number of sockets that each has open on this server, without tokens.
async fn list(State((links, connections)): Shared) -> Json<Value> {
    let sessions = connections.sessions.list();
    let describe = |guest: &Identity| {
        let ids = sessions.iter().map(|session| session.identity.token_id());
        json!({
            "id": guest.token_id(),
            "guest": guest.subject(),
            "expires_at": guest.expires_at().map(timestamp),
            "sockets": ids.filter(|id| *id == guest.token_id()).count(),
        })
    };
    let links: Vec<_> = links.list().iter().map(describe).collect();
    Json(json!({ "links": links }))
}

/// Revokes a link and closes its sockets on every server.
///
/// If the revocation store is unavailable, the link stays in the list, so that the owner can try
/// again. This server already refuses it.
async fn revoke(
    State((links, connections)): Shared,
    owner: Identity,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let revocation = Revocation::token(id);
    let guest = links
        .find(&revocation)
        .ok_or_else(|| ApiError::not_found("There is no such link"))?;
    tracing::info!(guest = guest.subject(), "revokes a link");
    connections.audit.revoked(&owner, &revocation);
    let end = guest.expires_at().unwrap_or_else(SystemTime::now);
    let closed = connections
        .sessions
        .revoke(revocation.clone().until(end))
        .await?;
    links.remove(&revocation);
    Ok(Json(json!({ "closed": closed })))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
