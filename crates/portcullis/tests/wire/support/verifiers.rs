//! Verifiers with answers that a test sets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use portcullis::{Credential, Identity, Verify, VerifyError};

/// Answers with the latest result set for a token, and counts its calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    answers: Arc<Mutex<HashMap<Box<str>, Answer>>>,
    calls: Arc<AtomicUsize>,
}

type Answer = Result<Identity, VerifyError>;

impl Tokens {
    pub(crate) fn set(&self, token: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(token.into(), answer);
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Verify for Tokens {
    async fn verify(&self, credential: &Credential) -> Answer {
        self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let answers = self.answers.lock().unwrap();
        let answer = answers.get(credential.expose_secret()).cloned();
        answer.unwrap_or(Err(VerifyError::Invalid))
    }
}

/// Defers every answer of `verifier` by one poll, so that admission has to wait for it.
pub(crate) fn deferred<V: Verify>(verifier: V) -> impl Verify {
    let verifier = Arc::new(verifier);
    move |credential: Credential| {
        let verifier = Arc::clone(&verifier);
        async move {
            tokio::task::yield_now().await;
            verifier.verify(&credential).await
        }
    }
}
