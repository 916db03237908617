use std::fmt;

use portcullis_core::{Follower, Revocation};

/// Where the sessions hear what the store of revocations has to tell.
pub(super) struct Feed {
    pub(super) listener: Box<dyn Listen>,
}

/// What the sessions do about it.
pub(super) trait Listen: Send + 'static {
    fn revoked(&self, revocations: &[Revocation]);
    fn alive(&self);
    fn lost(&self);
}

impl Follower for Feed {
    fn synchronized(&mut self, revocations: Vec<Revocation>) {
        self.listener.revoked(&revocations);
        self.listener.alive();
    }

    fn revoked(&mut self, revocation: Revocation) {
        self.listener.revoked(&[revocation]);
    }

    fn alive(&mut self) {
        self.listener.alive();
    }

    fn lost(&mut self) {
        self.listener.lost();
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}
