use std::fmt;
use std::sync::Arc;

use portcullis_core::{Carrier, Credential, Identity, Scheme, Verify};

use super::settings::{ReceivedCookie, Settings};
use crate::admission::LimitedVerifier;
use crate::refusal::Refusal;
use crate::seal::OpenError;

/// Verifies the token of a login, and compares its user with the logged-in user.
pub(super) struct Login<V> {
    pub(super) verifier: LimitedVerifier<V>,
    pub(super) settings: Arc<Settings>,
}

/// The user of a token, and the user that the browser is logged in as.
pub(super) struct Users {
    pub(super) of_token: Identity,
    pub(super) of_cookie: Option<Identity>,
}

impl Users {
    /// Returns the user of the cookie, if the token belongs to another user.
    pub(super) fn other(&self) -> Option<&Identity> {
        let is_other = |user: &&Identity| {
            (user.issuer(), user.subject()) != (self.of_token.issuer(), self.of_token.subject())
        };
        self.of_cookie.as_ref().filter(is_other)
    }
}

impl<V: Verify> Login<V> {
    /// Verifies the token and the cookie.
    ///
    /// Returns `None` if the token is invalid, or if it is unknown whether the cookie is valid.
    pub(super) async fn users(
        &self,
        token: &Credential,
        received: &ReceivedCookie,
    ) -> Option<Users> {
        let of_token = self.verify(token).await.ok()?;
        let of_cookie = match contains(received, token) {
            true => Some(of_token.clone()),
            false => self.user_of(received).await.ok()?,
        };
        Some(Users {
            of_token,
            of_cookie,
        })
    }

    /// Returns the user that the browser is logged in as, or an error if that is unknown.
    ///
    /// A cookie that does not open, or whose credential is invalid, logs in no user.
    pub(super) async fn user_of(
        &self,
        received: &ReceivedCookie,
    ) -> Result<Option<Identity>, Refusal> {
        let message = match &received.message {
            Ok(Some(message)) => message,
            Ok(None) | Err(OpenError::BrokenSeal) => return Ok(None),
            // For example a cookie that occurs twice: one of the two may be valid.
            Err(OpenError::Find(why)) => {
                return Err(Refusal::unreadable(*why, Carrier::Cookie));
            }
        };
        let secret = message.secret.as_str();
        let credential = Credential::new(Carrier::Cookie, Scheme::Bearer, secret);
        match self.verifier.verify(&credential).await {
            Ok(identity) => Ok(Some(identity)),
            Err(failure) if failure.is_of_credential() => Ok(None),
            Err(failure) => Err(failure.into_refusal(Carrier::Cookie)),
        }
    }

    /// Verifies a credential as admission does.
    pub(super) async fn verify(&self, credential: &Credential) -> Result<Identity, Refusal> {
        let answer = self.verifier.verify(credential).await;
        answer.map_err(|failure| failure.into_refusal(credential.carrier()))
    }
}

impl<V> Clone for Login<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: self.verifier.clone(),
            settings: Arc::clone(&self.settings),
        }
    }
}

impl<V> fmt::Debug for Login<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Returns whether the cookie contains this token.
pub(super) fn contains(received: &ReceivedCookie, token: &Credential) -> bool {
    matches!(&received.message, Ok(Some(message)) if *message.secret == token.expose_secret())
}
