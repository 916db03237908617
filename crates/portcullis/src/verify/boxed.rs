use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use portcullis_core::{Credential, Identity, Verify, VerifyError};

/// A verifier without its type; see [`VerifyExt::boxed`](crate::VerifyExt::boxed).
///
/// Clones share the verifier.
#[derive(Clone)]
pub struct BoxVerifier {
    verifier: Arc<dyn DynVerify>,
}

impl BoxVerifier {
    pub(super) fn new(verifier: impl Verify) -> Self {
        Self {
            verifier: Arc::new(verifier),
        }
    }
}

impl Verify for BoxVerifier {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.verifier.dyn_verify(credential).await
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        self.verifier.dyn_verify_now(credential)
    }

    fn needs_handshake(&self) -> bool {
        self.verifier.dyn_needs_handshake()
    }
}

/// A [`Verify`] with a boxed future, so that it can be a trait object.
trait DynVerify: Send + Sync {
    fn dyn_verify<'a>(&'a self, credential: &'a Credential) -> Verification<'a>;

    fn dyn_verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>>;

    fn dyn_needs_handshake(&self) -> bool;
}

type Verification<'a> = Pin<Box<dyn Future<Output = Result<Identity, VerifyError>> + Send + 'a>>;

impl<V: Verify> DynVerify for V {
    fn dyn_verify<'a>(&'a self, credential: &'a Credential) -> Verification<'a> {
        Box::pin(self.verify(credential))
    }

    fn dyn_verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        self.verify_now(credential)
    }

    fn dyn_needs_handshake(&self) -> bool {
        self.needs_handshake()
    }
}

impl fmt::Debug for BoxVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxVerifier").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::StaticTokens;
    use crate::verify::VerifyExt;
    use crate::verify::any_of;

    fn tokens() -> BoxVerifier {
        StaticTokens::new([("alice", "s3cret")]).unwrap().boxed()
    }

    fn slow() -> BoxVerifier {
        (async |credential: Credential| {
            tokio::task::yield_now().await;
            match credential.expose_secret() {
                "t0k" => Ok(Identity::new("bob")),
                _ => Err(VerifyError::Forbidden),
            }
        })
        .boxed()
    }

    #[tokio::test]
    async fn result_is_that_of_the_verifier_inside() {
        let subject = |result: Result<Identity, _>| result.map(|it| it.subject().to_owned());
        let alice = || Ok("alice".to_owned());
        let table = [
            (tokens(), "s3cret", Some(alice()), alice()),
            (
                tokens(),
                "other",
                Some(Err(VerifyError::Invalid)),
                Err(VerifyError::Invalid),
            ),
            (slow(), "t0k", None, Ok("bob".to_owned())),
            (slow(), "other", None, Err(VerifyError::Forbidden)),
        ];
        for (verifier, token, now, later) in table {
            let credential = Credential::bearer(token);
            for verifier in [verifier.clone(), verifier] {
                assert_eq!(
                    verifier.verify_now(&credential).map(subject),
                    now,
                    "{token}"
                );
                assert_eq!(
                    subject(verifier.verify(&credential).await),
                    later,
                    "{token}"
                );
            }
        }
    }

    #[test]
    fn handshake_is_needed_if_the_verifier_inside_needs_it() {
        struct Needs;

        impl Verify for Needs {
            async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
                Err(VerifyError::Invalid)
            }

            fn needs_handshake(&self) -> bool {
                true
            }
        }

        assert!(Needs.boxed().needs_handshake());
        assert!(!tokens().needs_handshake());
    }

    #[tokio::test]
    async fn different_verifiers_fit_into_one_list() {
        let verifier = any_of(vec![tokens(), slow()]);
        for (token, expected) in [("s3cret", "alice"), ("t0k", "bob")] {
            let result = verifier.verify(&Credential::bearer(token)).await;
            assert_eq!(result.unwrap().subject(), expected);
        }
    }

    #[test]
    fn debug_does_not_print_the_verifier_inside() {
        assert_eq!(format!("{:?}", tokens()), "BoxVerifier { .. }");
    }
}
