use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use portcullis_core::{Credential, Identity, Verify, VerifyError};

/// A verifier without its type; see [`VerifyExt::boxed`](super::VerifyExt::boxed).
///
/// A clone is the same verifier, for a second layer.
#[derive(Clone)]
pub struct BoxVerifier {
    verifier: Arc<dyn ErasedVerify>,
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
        self.verifier.ask(credential).await
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        self.verifier.ask_now(credential)
    }

    fn needs_handshake(&self) -> bool {
        self.verifier.asks_for_handshake()
    }
}

/// [`Verify`] with a future that a pointer can lead to.
trait ErasedVerify: Send + Sync {
    fn ask<'a>(&'a self, credential: &'a Credential) -> Asking<'a>;

    fn ask_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>>;

    fn asks_for_handshake(&self) -> bool;
}

type Asking<'a> = Pin<Box<dyn Future<Output = Result<Identity, VerifyError>> + Send + 'a>>;

impl<V: Verify> ErasedVerify for V {
    fn ask<'a>(&'a self, credential: &'a Credential) -> Asking<'a> {
        Box::pin(self.verify(credential))
    }

    fn ask_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        self.verify_now(credential)
    }

    fn asks_for_handshake(&self) -> bool {
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
    use crate::ticket::Tickets;
    use crate::verify::StaticTokens;
    use crate::verify::VerifyExt;
    use crate::verify::any_of;

    fn tokens() -> BoxVerifier {
        StaticTokens::new([("alice", "s3cret")]).unwrap().boxed()
    }

    fn waits() -> BoxVerifier {
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
    async fn says_what_the_verifier_inside_says() {
        let subject = |answer: Result<Identity, _>| answer.map(|who| who.subject().to_owned());
        let alice = || Ok("alice".to_owned());
        let table = [
            (tokens(), "s3cret", Some(alice()), alice()),
            (
                tokens(),
                "other",
                Some(Err(VerifyError::Invalid)),
                Err(VerifyError::Invalid),
            ),
            (waits(), "t0k", None, Ok("bob".to_owned())),
            (waits(), "other", None, Err(VerifyError::Forbidden)),
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
    fn asks_for_the_handshake_if_the_verifier_inside_does() {
        let tickets: Tickets = Tickets::in_memory(["/ws"]);
        assert!(tickets.boxed().needs_handshake());
        assert!(!tokens().needs_handshake());
    }

    #[tokio::test]
    async fn different_ones_stand_in_one_list() {
        let verifier = any_of(vec![tokens(), waits()]);
        for (token, expected) in [("s3cret", "alice"), ("t0k", "bob")] {
            let answer = verifier.verify(&Credential::bearer(token)).await;
            assert_eq!(answer.unwrap().subject(), expected);
        }
    }

    #[test]
    fn prints_nothing_of_what_is_inside() {
        assert_eq!(format!("{:?}", tokens()), "BoxVerifier { .. }");
    }
}
