//! Asks verifiers again about the credentials that open sessions rest on.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use portcullis_core::{Credential, Identity, VerifyError};

use super::entry::{Entry, Recheck};
use super::lifetime::{in_milliseconds, milliseconds, random_part};
use super::settings::Settings;
use super::shared::Shared;
use crate::close::CloseCause;

impl Settings {
    /// When to ask about a credential that is new; never, if it is not known or good for one time.
    pub(super) fn recheck_of(
        &self,
        identity: &Identity,
        credential: Option<Credential>,
    ) -> Option<Box<Recheck>> {
        let every = self.recheck?;
        let credential = credential?;
        if identity.is_single_use() {
            return None;
        }
        let now = milliseconds(self.clock.now());
        // Sessions that were opened together do not ask together.
        let first = in_milliseconds(every.mul_f64(1.0 - random_part() / 5.0));
        Some(Box::new(Recheck {
            credential,
            due: now.saturating_add(first),
            good_until: now.saturating_add(in_milliseconds(self.recheck_grace)),
        }))
    }
}

/// Asks about each of them, a few at a time: what is behind a verifier is not to be stormed.
pub(super) async fn recheck(shared: Arc<Shared>, sessions: Vec<(Arc<Entry>, Credential)>) {
    stream::iter(sessions)
        .for_each_concurrent(AT_ONCE, |(entry, credential)| {
            let shared = Arc::clone(&shared);
            async move {
                let answer = entry.context.verifier.verify(&credential).await;
                shared.rechecked(&entry, &credential, answer);
            }
        })
        .await;
}

impl Shared {
    /// What the verifier says about a session now.
    fn rechecked(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        credential: &Credential,
        answer: Result<Identity, VerifyError>,
    ) {
        let now = self.now_in_milliseconds();
        let good_until = now.saturating_add(in_milliseconds(self.settings.recheck_grace));
        let cause = match answer {
            Ok(identity) if entry.with_identity(|known| known.subject() == identity.subject()) => {
                entry.recheck_answered(credential, now, Some(good_until));
                return;
            }
            Ok(_) => CloseCause::OtherSubject,
            Err(VerifyError::Unavailable { .. }) => {
                match entry.recheck_answered(credential, now, None) {
                    true => return,
                    false => CloseCause::Unavailable,
                }
            }
            Err(_) => CloseCause::Refused,
        };
        self.end_with([Arc::clone(entry)], &cause, |entry| {
            entry.disprove(credential, cause.clone())
        });
    }
}

/// How many verifications of open sessions are under way at the same time.
const AT_ONCE: usize = 64;
