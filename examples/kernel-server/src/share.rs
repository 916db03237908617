//! Links that let a guest in for a day, or until they are taken back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{delete, post};
use axum::{Json, Router};
use portcullis::{Credential, Identity, Revocation, Verify, VerifyError};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{ApiError, Body};
use crate::live::Live;
use crate::options::random_hex;
use crate::wire::timestamp;

/// How long a link lets its guest in.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How many links there are at a time.
const MOST: usize = 100;

/// How much of a random text makes a name that no other link has.
const NAME: usize = 12;

/// Who holds which link. Its token is kept as a digest, and ends with the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShareLinks(Arc<Mutex<HashMap<[u8; 32], Identity>>>);

impl ShareLinks {
    /// A token for a new guest, or nothing if there are too many.
    fn mint(&self, lifetime: Duration) -> std::io::Result<Option<(String, Identity)>> {
        let (token, mut name) = (random_hex()?, random_hex()?);
        name.truncate(NAME);
        let now = SystemTime::now();
        let mut guests = self.lock();
        guests.retain(|_, guest| !guest.is_expired(now));
        if guests.len() >= MOST {
            return Ok(None);
        }
        // Of another server with the same Redis there may be guests, too: so they are not counted.
        let guest = Identity::builder(format!("guest-{name}"))
            .token_id(name)
            .issued_at(now)
            .expires_at(now + lifetime)
            .build();
        guests.insert(digest(&token), guest.clone());
        Ok(Some((token, guest)))
    }

    /// The guests of all links, the oldest first.
    fn list(&self) -> Vec<Identity> {
        let now = SystemTime::now();
        let mut guests: Vec<_> = self.lock().values().cloned().collect();
        guests.retain(|guest| !guest.is_expired(now));
        guests.sort_by_key(Identity::issued_at);
        guests
    }

    /// The guest of the link that is to be taken back.
    fn covered(&self, revocation: &Revocation) -> Option<Identity> {
        let guests = self.lock();
        let guest = guests.values().find(|guest| revocation.covers(guest));
        guest.cloned()
    }

    /// Forgets the links that are taken back.
    pub(crate) fn forget(&self, revocation: &Revocation) {
        self.lock().retain(|_, guest| !revocation.covers(guest));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Identity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verify for ShareLinks {
    type Claims = ();

    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.verify_now(credential)
            .unwrap_or(Err(VerifyError::Invalid))
    }

    /// Looks a digest up. How long that takes says nothing about a token of 192 random bits.
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

/// Makes links, lists them, and takes them back.
pub(crate) fn routes(links: &ShareLinks, live: &Live) -> Router {
    Router::new()
        .route("/api/share", post(mint).get(list))
        .route("/api/share/{id}", delete(take_back))
        .with_state((links.clone(), live.clone()))
}

type Sharing = State<(ShareLinks, Live)>;

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    /// In seconds. At most a day, which is also what there is without it.
    expires_in: Option<u64>,
}

/// Answers with a link. It is the one place where a token leaves the server: that is what it is for.
async fn mint(
    State((links, live)): Sharing,
    owner: Identity,
    headers: HeaderMap,
    Body(wanted): Body<Option<Wanted>>,
) -> Result<Json<Value>, ApiError> {
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let host = host.ok_or_else(|| ApiError::bad_request("the request has no Host"))?;
    let wanted = wanted.unwrap_or_default().expires_in;
    let lifetime = wanted.map_or(LIFETIME, |wanted| Duration::from_secs(wanted).min(LIFETIME));
    let (token, guest) = links
        .mint(lifetime)
        .map_err(|error| {
            tracing::error!(%error, "no link could be made");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "no link could be made")
        })?
        .ok_or_else(|| ApiError::new(StatusCode::TOO_MANY_REQUESTS, "there are too many links"))?;
    live.audit.shared(&owner, &guest);
    Ok(Json(json!({
        "id": guest.token_id(),
        "guest": guest.subject(),
        "url": format!("http://{host}/?token={token}"),
        "expires_in": lifetime.as_secs(),
    })))
}

/// The links of this server, and how many sockets each has open here. No token is in it.
async fn list(State((links, live)): Sharing) -> Json<Value> {
    let sessions = live.sessions.list();
    let describe = |guest: &Identity| {
        let is_theirs = |id: Option<&str>| id == guest.token_id();
        let open = sessions.iter().map(|session| session.identity.token_id());
        json!({
            "id": guest.token_id(),
            "guest": guest.subject(),
            "expires_at": guest.expires_at().map(timestamp),
            "sockets": open.filter(|id| is_theirs(*id)).count(),
        })
    };
    let links: Vec<_> = links.list().iter().map(describe).collect();
    Json(json!({ "links": links }))
}

/// Takes a link back: it lets nobody in any more, and what was opened with it closes, on every
/// server. When others may not have heard of it, the link stays in the list, good for nobody here, so
/// that it can be taken back again.
async fn take_back(
    State((links, live)): Sharing,
    owner: Identity,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let revocation = Revocation::token(id);
    let guest = links
        .covered(&revocation)
        .ok_or_else(|| ApiError::not_found("There is no such link"))?;
    tracing::info!(guest = guest.subject(), "takes a link back");
    live.audit.revoked(&owner, &revocation);
    let end = guest.expires_at().unwrap_or_else(SystemTime::now);
    let closed = live.sessions.revoke(revocation.clone().until(end)).await?;
    links.forget(&revocation);
    Ok(Json(json!({ "closed": closed })))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
