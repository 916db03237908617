use std::fmt;

use portcullis_core::{Credential, Identity, Verify, VerifyError};

/// A verifier whose identities are translated; see [`VerifyExt::map`](super::VerifyExt::map).
#[derive(Clone, Copy)]
pub struct Map<V, F> {
    verifier: V,
    translate: F,
}

impl<V, F> Map<V, F> {
    pub(super) fn new(verifier: V, translate: F) -> Self {
        Self {
            verifier,
            translate,
        }
    }
}

impl<V, F> Verify for Map<V, F>
where
    V: Verify,
    F: Fn(Identity) -> Identity + Send + Sync + 'static,
{
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let answer = self.verifier.verify(credential).await;
        answer.map(&self.translate)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        let answer = self.verifier.verify_now(credential)?;
        Some(answer.map(&self.translate))
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
    async fn translates_what_is_accepted() {
        let tokens = StaticTokens::new([("alice", "s3cret")]).unwrap();
        let verifier = tokens.map(|identity| identity.to_builder().claims(7_u8).build());
        let good = Credential::bearer("s3cret");
        let claims =
            |answer: Result<Identity, _>| answer.map(|alice| alice.claims::<u8>().copied());
        assert_eq!(verifier.verify_now(&good).map(claims), Some(Ok(Some(7))));
        assert_eq!(claims(verifier.verify(&good).await), Ok(Some(7)));

        let bad = Credential::bearer("other");
        let invalid = Err(VerifyError::Invalid);
        assert_eq!(verifier.verify_now(&bad).map(claims), Some(invalid));
        assert_eq!(claims(verifier.verify(&bad).await), invalid);
    }

    #[test]
    fn waits_for_who_has_to_be_waited_for() {
        let slow = async |_: Credential| Ok(Identity::new("alice"));
        let verifier = slow.map(|identity| identity);
        assert!(verifier.verify_now(&Credential::bearer("t")).is_none());
    }
}
