use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::{Credential, Identity};

/// Tells whose credential it is.
///
/// An async closure is a verifier. It takes the credential by value, since only so can its future
/// say that it is `Send`:
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
/// A type of your own is one too, with `async fn verify`.
///
/// # What an implementation promises
///
/// * The secret goes no further. It is not logged, not put into an error, and not the key of a
///   cache.
/// * It compares in constant time.
/// * *Cannot tell* is [`VerifyError::Unavailable`] and never [`VerifyError::Invalid`]: the first is
///   answered with 503 and is not cached.
/// * It may be cancelled at any await; admission gives up after its time limit.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a verifier",
    label = "does not implement `Verify`",
    note = "a verifier is a type that implements `Verify`, or an async closure or function that takes a `Credential` by value and answers `Result<Identity<_>, VerifyError>`",
    note = "several verifiers are one with `any_of((first, second))`: in a tuple, and with the same claims, which `VerifyExt::map` can give them"
)]
pub trait Verify: Send + Sync + 'static {
    /// What an identity holds beside subject, scopes and expiry. `()` is fine.
    type Claims: Send + Sync + 'static;

    /// Asks whose credential it is.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from naming a subject; see [`VerifyError`].
    fn verify(
        &self,
        credential: &Credential,
    ) -> impl Future<Output = Result<Identity<Self::Claims>, VerifyError>> + Send;

    /// The answer, if it can be given without waiting.
    ///
    /// Admission asks this first. With `Some`, it builds no future, boxes nothing and clones no
    /// service. `None` means that [`verify`](Self::verify) has to be asked.
    fn verify_now(
        &self,
        credential: &Credential,
    ) -> Option<Result<Identity<Self::Claims>, VerifyError>> {
        let _ = credential;
        None
    }

    /// Whether [`Credential::handshake`] has to be there. It costs an allocation for each request,
    /// so it is not, unless a verifier says so.
    fn needs_handshake(&self) -> bool {
        false
    }
}

impl<F, Fut, C> Verify for F
where
    F: Fn(Credential) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity<C>, VerifyError>> + Send,
    C: Send + Sync + 'static,
{
    type Claims = C;

    fn verify(
        &self,
        credential: &Credential,
    ) -> impl Future<Output = Result<Identity<C>, VerifyError>> + Send {
        self(credential.clone())
    }
}

impl<V: Verify> Verify for Arc<V> {
    type Claims = V::Claims;

    fn verify(
        &self,
        credential: &Credential,
    ) -> impl Future<Output = Result<Identity<V::Claims>, VerifyError>> + Send {
        (**self).verify(credential)
    }

    fn verify_now(
        &self,
        credential: &Credential,
    ) -> Option<Result<Identity<V::Claims>, VerifyError>> {
        (**self).verify_now(credential)
    }

    fn needs_handshake(&self) -> bool {
        (**self).needs_handshake()
    }
}

/// Why a verifier names no subject.
///
/// It holds no detail about the credential, so that none can leak. A verifier that has something
/// to say to its operator says it in a log of its own.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VerifyError {
    /// The credential was good once. The client is told no more than for `Invalid`.
    Expired,

    /// The credential is good, but not for this.
    Forbidden,

    /// Nobody's credential: unknown, forged, revoked or broken.
    Invalid,

    /// The verifier cannot tell at the moment, because something it needs does not answer.
    Unavailable {
        /// When it is worth to ask again; `None` leaves that to admission.
        retry_after: Option<Duration>,
    },
}

impl VerifyError {
    /// Cannot tell at the moment.
    pub const fn unavailable() -> Self {
        Self::Unavailable { retry_after: None }
    }

    /// The name that logs, metrics and audit records use.
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
            Self::Forbidden => "the credential is not good for this",
            Self::Invalid => "nobody's credential",
            Self::Unavailable { .. } => "the verifier cannot tell at the moment",
        })
    }
}

impl Error for VerifyError {}
