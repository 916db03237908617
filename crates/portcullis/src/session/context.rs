use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use portcullis_core::{Credential, Identity, VerifyError};

use super::Sessions;
use crate::close::CloseCodes;

/// The part of a layer that its sessions need for as long as they are open.
pub(crate) struct SessionContext {
    pub(crate) sessions: Sessions,
    pub(crate) codes: CloseCodes,
    pub(crate) verifier: Arc<dyn ReVerify>,
}

/// The verifier of a layer, without its type. It has a time limit and compares the identity with
/// the revocations, as admission does.
pub(crate) trait ReVerify: Send + Sync {
    /// Verifies a credential of an open or pending socket.
    fn verify<'a>(
        &'a self,
        credential: &'a Credential,
    ) -> BoxFuture<'a, Result<Identity, VerifyError>>;
}

impl fmt::Debug for SessionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionContext")
            .field("codes", &self.codes)
            .finish_non_exhaustive()
    }
}

/// Returns a context for tests, whose verifier must not be called.
#[cfg(test)]
pub(super) fn of(sessions: &Sessions) -> Arc<SessionContext> {
    struct Unused;

    impl ReVerify for Unused {
        fn verify<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<Identity, VerifyError>> {
            unreachable!("the test does not verify")
        }
    }

    Arc::new(SessionContext {
        sessions: sessions.clone(),
        codes: CloseCodes::registered(),
        verifier: Arc::new(Unused),
    })
}
