//! The fifth step: asks the verifier which identity a credential belongs to.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use portcullis_core::{Carrier, Clock, Credential, Identity, Verify, VerifyError};

use crate::refusal::{Refusal, RefusalKind};
use crate::session::{ReVerify, Revocations};

/// A verifier with everything that limits it: the time it may take, the clock that identities
/// expire by, and the revocations.
pub(crate) struct LimitedVerifier<V> {
    pub(crate) verifier: Arc<V>,
    pub(crate) verify_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) revocations: Arc<Revocations>,
}

/// Why a verification failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum VerifyFailure {
    /// The verifier returned this error, or its identity has expired or is revoked.
    Error(VerifyError),

    /// The verifier panicked.
    Panicked,
}

/// The identity of a request, and the credential that proved it.
pub(super) type Verified = (Identity, Credential);

/// A verification that has to wait.
pub(super) type DeferredVerification = BoxFuture<'static, Result<Verified, Refusal>>;

impl<V: Verify> LimitedVerifier<V> {
    /// Verifies a credential if the verifier can answer without waiting.
    #[inline]
    pub(crate) fn verify_now(
        &self,
        credential: &Credential,
    ) -> Option<Result<Identity, VerifyFailure>> {
        match catch_unwind(AssertUnwindSafe(|| self.verifier.verify_now(credential))) {
            Ok(answer) => Some(self.check(answer?, credential)),
            Err(_) => Some(Err(VerifyFailure::Panicked)),
        }
    }

    /// Verifies the credential of a request. If it is invalid, `rescue` decides.
    pub(super) fn verify_deferred(
        self: Arc<Self>,
        credential: Credential,
        rescue: Option<Box<Credential>>,
    ) -> DeferredVerification {
        Box::pin(async move {
            let (answer, credential) = match (self.verify(&credential).await, rescue) {
                (Err(failure), Some(rescue)) if failure.is_of_credential() => {
                    (self.verify(&rescue).await, *rescue)
                }
                (answer, _) => (answer, credential),
            };
            match answer {
                Ok(identity) => Ok((identity, credential)),
                Err(failure) => Err(failure.into_refusal(credential.carrier())),
            }
        })
    }

    /// Verifies a credential within the time limit.
    pub(crate) async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyFailure> {
        let verification = async {
            // A closure can panic before it returns its future.
            let future = catch_unwind(AssertUnwindSafe(|| self.verifier.verify(credential)));
            let mut future = pin!(future.map_err(|_| VerifyFailure::Panicked)?);
            std::future::poll_fn(|context| {
                let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
                match catch_unwind(poll) {
                    Ok(poll) => poll.map(Ok),
                    Err(_) => Poll::Ready(Err(VerifyFailure::Panicked)),
                }
            })
            .await
        };
        match tokio::time::timeout(self.verify_timeout, verification).await {
            Ok(answer) => self.check(answer?, credential),
            Err(_) => Err(VerifyFailure::Error(VerifyError::unavailable())),
        }
    }

    /// Checks the answer of the verifier, which may come from a cache or use another clock.
    #[inline]
    fn check(
        &self,
        answer: Result<Identity, VerifyError>,
        credential: &Credential,
    ) -> Result<Identity, VerifyFailure> {
        let identity = answer.map_err(VerifyFailure::Error)?;
        let now = self.clock.now();
        let has_expired = |end| end <= now - LEEWAY;
        let error = if identity.expires_at().is_some_and(has_expired) {
            VerifyError::Expired
        } else if self.revocations.cover(&identity) {
            VerifyError::Invalid
        } else if self.revocations.are_stale() {
            VerifyError::unavailable()
        } else {
            return Ok(identity.proven_by(credential, now));
        };
        Err(VerifyFailure::Error(error))
    }
}

impl VerifyFailure {
    /// Returns whether the credential is at fault, and not the verifier.
    pub(crate) fn is_of_credential(self) -> bool {
        match self {
            Self::Error(error) => !matches!(error, VerifyError::Unavailable { .. }),
            Self::Panicked => false,
        }
    }

    pub(crate) fn into_refusal(self, carrier: Carrier) -> Refusal {
        match self {
            Self::Error(error) => Refusal::unverified(error).with_carrier(carrier),
            Self::Panicked => Refusal::new(RefusalKind::VerifierFailed),
        }
    }
}

impl From<VerifyFailure> for VerifyError {
    fn from(failure: VerifyFailure) -> Self {
        match failure {
            VerifyFailure::Error(error) => error,
            VerifyFailure::Panicked => Self::unavailable(),
        }
    }
}

/// Sessions verify their credential again in the same way as admission.
impl<V: Verify> ReVerify for LimitedVerifier<V> {
    fn verify<'a>(
        &'a self,
        credential: &'a Credential,
    ) -> BoxFuture<'a, Result<Identity, VerifyError>> {
        Box::pin(async { Ok(self.verify(credential).await?) })
    }
}

impl<V> Clone for LimitedVerifier<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: Arc::clone(&self.verifier),
            verify_timeout: self.verify_timeout,
            clock: Arc::clone(&self.clock),
            revocations: Arc::clone(&self.revocations),
        }
    }
}

impl<V> fmt::Debug for LimitedVerifier<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitedVerifier")
            .field("verify_timeout", &self.verify_timeout)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// How long after its expiry a verifier may still accept a credential.
const LEEWAY: Duration = Duration::from_secs(60);
