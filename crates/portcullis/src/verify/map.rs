use std::fmt;

use portcullis_core::{Credential, Identity, Verify, VerifyError};

/// A verifier with changed identities; see [`VerifyExt::map`](crate::VerifyExt::map).
#[derive(Clone, Copy)]
pub struct Map<V, F> {
    verifier: V,
    change: F,
}

impl<V, F> Map<V, F> {
    pub(super) fn new(verifier: V, change: F) -> Self {
        Self { verifier, change }
    }
}

impl<V, F> Verify for Map<V, F>
where
    V: Verify,
    F: Fn(Identity) -> Identity + Send + Sync + 'static,
{
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let result = self.verifier.verify(credential).await;
        result.map(&self.change)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        let result = self.verifier.verify_now(credential)?;
        Some(result.map(&self.change))
    }

    fn needs_handshake(&self) -> bool {
        self.verifier.needs_handshake()
    }
}

impl<V: fmt::Debug, F> fmt::Debug for Map<V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::StaticTokens;
    use crate::verify::VerifyExt;

    #[tokio::test]
    async fn accepted_identity_is_changed() {
        let tokens = StaticTokens::new([("alice", "s3cret")]).unwrap();
        let verifier = tokens.map(|identity| identity.to_builder().claims(7_u8).build());
        let valid = Credential::bearer("s3cret");
        let claims =
            |result: Result<Identity, _>| result.map(|alice| alice.claims::<u8>().copied());
        assert_eq!(verifier.verify_now(&valid).map(claims), Some(Ok(Some(7))));
        assert_eq!(claims(verifier.verify(&valid).await), Ok(Some(7)));

        let other = Credential::bearer("other");
        let invalid = Err(VerifyError::Invalid);
        assert_eq!(verifier.verify_now(&other).map(claims), Some(invalid));
        assert_eq!(claims(verifier.verify(&other).await), invalid);
    }

    #[test]
    fn verify_now_returns_none_if_the_verifier_has_to_wait() {
        let slow = async |_: Credential| Ok(Identity::new("alice"));
        let verifier = slow.map(|identity| identity);
        assert!(verifier.verify_now(&Credential::bearer("t")).is_none());
    }
}
