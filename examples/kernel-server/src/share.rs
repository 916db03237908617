//! Links that let a guest in for a day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use portcullis::{Credential, Identity, Verify, VerifyError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::options::random_hex;

/// How long a link lets its guest in.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How many links there are at a time.
const MOST: usize = 100;

/// Who holds which link. Its token is kept as a digest, and ends with the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShareLinks(Arc<Mutex<Guests>>);

#[derive(Debug, Default)]
struct Guests {
    by_digest: HashMap<[u8; 32], Identity>,
    so_far: usize,
}

impl ShareLinks {
    /// A token for a new guest, or nothing if there are too many.
    fn mint(&self) -> std::io::Result<Option<String>> {
        let token = random_hex()?;
        let now = SystemTime::now();
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guests.by_digest.retain(|_, guest| !guest.is_expired(now));
        if guests.by_digest.len() >= MOST {
            return Ok(None);
        }
        guests.so_far += 1;
        let guest = format!("guest-{}", guests.so_far);
        let guest = Identity::builder(guest).expires_at(now + LIFETIME).build();
        guests.by_digest.insert(digest(&token), guest);
        Ok(Some(token))
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
        let guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let guest = guests.by_digest.get(&digest(credential.expose_secret()));
        Some(match guest {
            Some(guest) if guest.is_expired(SystemTime::now()) => Err(VerifyError::Expired),
            Some(guest) => Ok(guest.clone()),
            None => Err(VerifyError::Invalid),
        })
    }
}

/// Answers with a link. It is the one place where a token leaves the server: that is what it is for.
pub(crate) async fn mint(
    State(links): State<ShareLinks>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let token = match links.mint() {
        Ok(Some(token)) => token,
        Ok(None) => return Err(StatusCode::TOO_MANY_REQUESTS),
        Err(error) => {
            tracing::error!(%error, "no link could be made");
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.ok_or(StatusCode::BAD_REQUEST)?;
    let url = format!("http://{host}/?token={token}");
    Ok(Json(
        json!({ "url": url, "expires_in": LIFETIME.as_secs() }),
    ))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
