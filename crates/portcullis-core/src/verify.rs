use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::{Credential, Identity};

/// Maps a credential to an identity.
///
/// A closure that returns a future is a verifier. It takes the credential by value, because a
/// borrowed one would make the future not `Send`:
///
/// ```
/// use portcullis_core::{Credential, Identity, Verify, VerifyError};
///
/// # async fn look_up(_: &str) -> Option<String> { None }
/// let verifier = async |credential: Credential| {
///     match look_up(credential.expose_secret()).await {
///         Some(user) => Ok(Identity::new(user)),
///         None => Err(VerifyError::Invalid),
///     }
/// };
/// # fn check(_: impl Verify) {}
/// check(verifier);
/// ```
///
/// An `async` closure that captures state is not a verifier, because its future borrows from the
/// closure:
///
/// ```compile_fail
/// # use portcullis_core::{Credential, Identity, Verify, VerifyError};
/// # struct Database;
/// # impl Database { async fn user(&self, _: &str) -> Option<String> { None } }
/// # let database = Database;
/// let verifier = async move |credential: Credential| {
///     let user = database.user(credential.expose_secret()).await; // error: captures `database`
///     user.map(Identity::new).ok_or(VerifyError::Invalid)
/// };
/// # fn check(_: impl Verify) {}
/// # check(verifier);
/// ```
///
/// Clone the state into an `async move` block instead:
///
/// ```
/// # use std::sync::Arc;
/// # use portcullis_core::{Credential, Identity, Verify, VerifyError};
/// # struct Database;
/// # impl Database { async fn user(&self, _: &str) -> Option<String> { None } }
/// let database = Arc::new(Database);
/// let verifier = move |credential: Credential| {
///     let database = Arc::clone(&database);
///     async move {
///         let user = database.user(credential.expose_secret()).await;
///         user.map(Identity::new).ok_or(VerifyError::Invalid)
///     }
/// };
/// # fn check(_: impl Verify) {}
/// # check(verifier);
/// ```
///
/// A type of the application is a verifier if it implements this trait, usually with
/// `async fn verify`.
///
/// # Requirements
///
/// * The verifier does not write the secret to a log, an error or the key of a cache.
/// * It compares secrets in constant time.
/// * If it cannot decide, for example because its database is down, it returns
///   [`VerifyError::Unavailable`] and never [`VerifyError::Invalid`]. The response is then 503, and
///   nothing is cached.
/// * The future may be dropped at any await point. Admission drops it after a time limit.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a verifier",
    label = "does not implement `Verify`",
    note = "a verifier is a type that implements `Verify`, or a closure `Fn(Credential) -> Future<Output = Result<Identity, VerifyError>>`",
    note = "if this is a `Result`, for example of `StaticTokens::new(..)`, add `?` to get the verifier out of it",
    note = "if this is an async closure that captures state, write `move |credential| {{ let state = state.clone(); async move {{ .. }} }}` instead",
    note = "combine several verifiers into one with `any_of((first, second))`"
)]
pub trait Verify: Send + Sync + 'static {
    /// Verifies a credential and returns its identity.
    ///
    /// # Errors
    ///
    /// Returns a [`VerifyError`] if the credential does not identify a subject.
    fn verify(
        &self,
        credential: &Credential,
    ) -> impl Future<Output = Result<Identity, VerifyError>> + Send;

    /// Verifies a credential if that is possible without waiting.
    ///
    /// Admission calls this first. If it returns `Some`, admission builds no future, allocates
    /// nothing for one and clones no service. `None`, the default, means that
    /// [`verify`](Self::verify) has to be called.
    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        let _ = credential;
        None
    }

    /// Returns whether the verifier reads [`Credential::handshake`].
    ///
    /// It costs an allocation per request, so the default is `false`.
    fn needs_handshake(&self) -> bool {
        false
    }
}

impl<F, Fut> Verify for F
where
    F: Fn(Credential) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, VerifyError>> + Send,
{
    fn verify(
        &self,
        credential: &Credential,
    ) -> impl Future<Output = Result<Identity, VerifyError>> + Send {
        self(credential.clone())
    }
}

impl<V: Verify> Verify for Arc<V> {
    fn verify(
        &self,
        credential: &Credential,
    ) -> impl Future<Output = Result<Identity, VerifyError>> + Send {
        (**self).verify(credential)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        (**self).verify_now(credential)
    }

    fn needs_handshake(&self) -> bool {
        (**self).needs_handshake()
    }
}

/// Why a verifier does not accept a credential.
///
/// It contains no details of the credential, so that it cannot leak any. A verifier can report
/// details to its operator in the log.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VerifyError {
    /// The credential has expired.
    Expired,

    /// The credential is valid, but not for this request.
    Forbidden,

    /// The credential is unknown, forged, revoked or malformed.
    Invalid,

    /// The verifier cannot decide now, because a service that it depends on is unavailable.
    Unavailable {
        /// When the client should try again; `None` leaves that to admission.
        retry_after: Option<Duration>,
    },
}

impl VerifyError {
    /// Returns [`VerifyError::Unavailable`] without a time to try again.
    pub const fn unavailable() -> Self {
        Self::Unavailable { retry_after: None }
    }

    /// Returns the name that logs, metrics and audit records use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the credential has expired",
            Self::Forbidden => "the credential does not allow this request",
            Self::Invalid => "invalid credential",
            Self::Unavailable { .. } => "verifier unavailable",
        })
    }
}

impl Error for VerifyError {}
