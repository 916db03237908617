use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use portcullis_core::{Credential, Identity, VerifyError};

use super::Sessions;
use crate::close::CloseCodes;

/// What a session keeps of the layer that admitted it.
pub(crate) struct Policy {
    pub(crate) sessions: Sessions,
    pub(crate) codes: CloseCodes,
    pub(crate) verifier: Arc<dyn Ask>,
}

/// The verifier of the layer, asked as the layer asks it: in time, and with the revocations.
pub(crate) trait Ask: Send + Sync {
    fn ask<'a>(&'a self, credential: &'a Credential) -> Answer<'a>;
}

/// The verifier's answer.
pub(crate) type Answer<'a> =
    Pin<Box<dyn Future<Output = Result<Identity, VerifyError>> + Send + 'a>>;

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("codes", &self.codes)
            .finish_non_exhaustive()
    }
}

/// A verifier that nobody asks, for tests.
#[cfg(test)]
pub(super) fn of(sessions: &Sessions) -> Arc<Policy> {
    struct Nobody;

    impl Ask for Nobody {
        fn ask<'a>(&'a self, _: &'a Credential) -> Answer<'a> {
            unreachable!("it is asked by nobody")
        }
    }

    Arc::new(Policy {
        sessions: sessions.clone(),
        codes: CloseCodes::registered(),
        verifier: Arc::new(Nobody),
    })
}
