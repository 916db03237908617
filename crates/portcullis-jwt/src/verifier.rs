use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use portcullis_core::{Credential, Identity, Verify, VerifyError};

use crate::active_keys::ActiveKeys;
use crate::claims::Claims;
use crate::rejection::{KeyName, Rejection};
use crate::token::{Buffer, Token};
use crate::validation::Validation;
use crate::{JwtBuilder, JwtError, KeySet};

/// A verifier for JSON Web Tokens, with local keys.
///
/// It never waits, so admission calls [`verify_now`](Verify::verify_now) and creates no future.
/// Cloning is cheap, since clones share the keys: keep a clone to [replace](Self::replace_keys)
/// them.
///
/// See the [crate documentation](crate) for an example and for the checks that are made.
///
/// # Logging
///
/// Every refused token is one DEBUG event with the target `portcullis` and these fields. It
/// contains no part of the encoded token; values of its claims are escaped and shortened.
///
/// | field | value |
/// |---|---|
/// | `reason` | the [`JwtError`] |
/// | `expected` | the configured value, if the check compares one |
/// | `found` | the value of the token |
#[derive(Clone)]
pub struct Jwt {
    shared: Arc<Shared>,
}

struct Shared {
    keys: RwLock<Arc<ActiveKeys>>,
    validation: Validation,
}

impl Jwt {
    /// Starts to build a verifier with the keys of one issuer.
    ///
    /// [`issuer`](JwtBuilder::issuer) and [`audience`](JwtBuilder::audience) have to be set before
    /// [`build`](JwtBuilder::build); everything else has a default.
    pub fn builder(keys: impl Into<KeySet>) -> JwtBuilder<false, false> {
        JwtBuilder::new(keys.into())
    }

    pub(crate) fn new(keys: KeySet, validation: Validation) -> Self {
        Self {
            shared: Arc::new(Shared {
                keys: RwLock::new(Arc::new(ActiveKeys::new(keys))),
                validation,
            }),
        }
    }

    /// Returns the current keys.
    pub fn keys(&self) -> KeySet {
        self.active_keys().keys().clone()
    }

    /// Replaces the keys of this verifier and all its clones.
    ///
    /// Tokens of removed keys are refused from the next verification on. A cache around the
    /// verifier may still accept such a token until its entry expires.
    pub fn replace_keys(&self, keys: impl Into<KeySet>) {
        let keys = Arc::new(ActiveKeys::new(keys.into()));
        let current = self.shared.keys.write();
        *current.unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn active_keys(&self) -> Arc<ActiveKeys> {
        // The keys are replaced by one assignment, so they are valid even if the lock is poisoned.
        let keys = self.shared.keys.read();
        Arc::clone(&keys.unwrap_or_else(PoisonError::into_inner))
    }

    /// Verifies a token, and returns the reason if it is refused.
    ///
    /// It makes the same decision as [`Verify`], but does not reduce the reason to a
    /// [`VerifyError`]. Use it in tools and tests, and do not send the reason to a client.
    ///
    /// # Errors
    ///
    /// Returns the first check that failed. [`JwtError::Expired`] is the last one: everything else
    /// about the token is valid.
    pub fn check(&self, token: &str) -> Result<Identity, JwtError> {
        self.verify_token(token, None).map_err(Rejection::log)
    }

    fn check_credential(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let identity = self.verify_token(credential.expose_secret(), credential.username());
        Ok(identity.map_err(Rejection::log)?)
    }

    /// Verifies a token. `username` is the user name that the client sent with it.
    fn verify_token(&self, token: &str, username: Option<&str>) -> Result<Identity, Rejection> {
        let validation = &self.shared.validation;
        let token = Token::split(token)?;
        let mut buffer = Buffer::new();

        let keys = self.active_keys();
        let known = keys.find_by_header(token.header);
        let key = match known {
            Some(key) => key,
            None => {
                let header = buffer.decode_text(token.header)?;
                let header = serde_json::from_str(header)
                    .map_err(|cause| Rejection::of_json(JwtError::Header, &cause))?;
                validation.select_key(&header, keys.keys())?
            }
        };
        let signature = buffer.decode_signature(token.signature)?;
        if !key.verifies(token.signed.as_bytes(), signature) {
            return Err(Rejection::from(JwtError::Signature).expected(KeyName(key)));
        }
        if known.is_none() {
            keys.remember_header(token.header, key);
        }

        let payload = buffer.decode_text(token.payload)?;
        let claims =
            Claims::parse(payload).map_err(|cause| Rejection::of_json(JwtError::Claims, &cause))?;
        validation.identify(&claims, username, payload)
    }
}

impl Verify for Jwt {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.check_credential(credential)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        Some(self.check_credential(credential))
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("keys", &self.keys())
            .field("validation", &self.shared.validation)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use jsonwebtoken::EncodingKey;

    use super::*;
    use crate::{Algorithm, Key};

    /// This build enables both backends of jsonwebtoken, as two other dependencies of an
    /// application might. jsonwebtoken then has no default backend, and panics.
    #[test]
    fn no_process_wide_crypto_provider_is_needed() {
        const SECRET: &[u8] = b"a secret that is thirty-two long";
        let theirs = catch_unwind(|| {
            let key = EncodingKey::from_secret(SECRET).unwrap();
            jsonwebtoken::encode(&jsonwebtoken::Header::default(), &(), &key)
        });
        assert!(
            theirs.is_err(),
            "jsonwebtoken has a provider, so this test proves nothing"
        );

        let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJpIiwic3ViIjoicyIsImF1ZCI6ImEiLCJle\
                     HAiOjk5OTk5OTk5OTk5fQ.d95Iznw88_MvX8OmbYlUiAoZXBfF2GAAwO881J-yf0M";
        let key = Key::from_secret(Algorithm::HS256, SECRET).unwrap();
        let jwt = Jwt::builder(key).issuer("i").audience("a").build().unwrap();
        assert_eq!(jwt.check(token).unwrap().subject(), "s");
    }
}
