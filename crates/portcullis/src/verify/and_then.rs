use std::fmt;

use portcullis_core::{Credential, Identity, Verify, VerifyError};

/// A verifier with a second question; see [`VerifyExt::and_then`](super::VerifyExt::and_then).
#[derive(Clone, Copy)]
pub struct AndThen<V, F> {
    verifier: V,
    ask: F,
}

impl<V, F> AndThen<V, F> {
    pub(super) fn new(verifier: V, ask: F) -> Self {
        Self { verifier, ask }
    }
}

// `verify_now` stays `None`, also where the first verifier could refuse at once. To find out, it
// would have to be asked, and to be asked again after a yes: a ticket is good only once.
impl<V, F, Fut> Verify for AndThen<V, F>
where
    V: Verify,
    F: Fn(Identity) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Identity, VerifyError>> + Send,
{
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let identity = self.verifier.verify(credential).await?;
        (self.ask)(identity).await
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
    async fn the_second_is_asked_about_who_the_first_accepts() {
        let asked = Arc::new(AtomicUsize::new(0));
        let tokens = StaticTokens::new([("alice", "a"), ("bob", "b"), ("carol", "c")]).unwrap();
        let counter = Arc::clone(&asked);
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
        for (token, expected, asked_so_far) in table {
            let credential = Credential::bearer(token);
            assert!(verifier.verify_now(&credential).is_none());
            let answer = verifier.verify(&credential).await;
            let claims = answer.map(|identity| identity.claims::<&str>().copied());
            assert_eq!(claims, expected, "{token}");
            assert_eq!(asked.load(Ordering::Relaxed), asked_so_far, "{token}");
        }
    }
}
