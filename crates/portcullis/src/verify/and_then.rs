use std::fmt;

use portcullis_core::{Credential, Identity, Verify, VerifyError};

/// A verifier with a second check; see [`VerifyExt::and_then`](crate::VerifyExt::and_then).
#[derive(Clone, Copy)]
pub struct AndThen<V, F> {
    verifier: V,
    check: F,
}

impl<V, F> AndThen<V, F> {
    pub(super) fn new(verifier: V, check: F) -> Self {
        Self { verifier, check }
    }
}

// `verify_now` stays `None`, even if the first verifier could refuse without waiting. If it
// accepted instead, `verify` would call it a second time, and a single-use credential would be used
// up.
impl<V, F, Fut> Verify for AndThen<V, F>
where
    V: Verify,
    F: Fn(Identity) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, VerifyError>> + Send,
{
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let identity = self.verifier.verify(credential).await?;
        (self.check)(identity).await
    }

    fn needs_handshake(&self) -> bool {
        self.verifier.needs_handshake()
    }
}

impl<V: fmt::Debug, F> fmt::Debug for AndThen<V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AndThen")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::verify::StaticTokens;
    use crate::verify::VerifyExt;

    #[tokio::test]
    async fn second_check_gets_the_identities_that_the_first_verifier_accepts() {
        let calls = Arc::new(AtomicUsize::new(0));
        let tokens = StaticTokens::new([("alice", "a"), ("bob", "b"), ("carol", "c")]).unwrap();
        let counter = Arc::clone(&calls);
        let verifier = tokens.and_then(move |identity: Identity| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                match identity.subject() {
                    "alice" => Ok(identity.to_builder().claims("member").build()),
                    "bob" => Err(VerifyError::Forbidden),
                    _ => Err(VerifyError::unavailable()),
                }
            }
        });
        let table = [
            ("a", Ok(Some("member")), 1),
            ("b", Err(VerifyError::Forbidden), 2),
            ("c", Err(VerifyError::unavailable()), 3),
            ("d", Err(VerifyError::Invalid), 3),
        ];
        for (token, expected, calls_so_far) in table {
            let credential = Credential::bearer(token);
            assert!(verifier.verify_now(&credential).is_none());
            let result = verifier.verify(&credential).await;
            let claims = result.map(|identity| identity.claims::<&str>().copied());
            assert_eq!(claims, expected, "{token}");
            assert_eq!(calls.load(Ordering::Relaxed), calls_so_far, "{token}");
        }
    }
}
