use std::fmt;
use std::sync::{Arc, OnceLock};

use portcullis_core::Verify;

use super::admission::Settings;
use super::grant::SocketGrant;
use super::granting::{Asker, Granting};
use crate::dialect::{Dialect, PendingSockets};
use crate::session::{SessionContext, Sessions};

/// What a layer and all services that it makes share.
///
/// It is behind one pointer: of an `any` route axum copies the layer for each request, and drops
/// the copy.
pub(crate) struct Rules<V: Verify> {
    pub(crate) verifier: Arc<V>,
    pub(crate) settings: Arc<Settings>,
    pub(super) sessions: Sessions,
    /// Whether they are those of the user's own handle.
    pub(super) shares_sessions: bool,
    pub(super) dialect: Option<Arc<dyn Dialect>>,
    pub(super) pending: Arc<PendingSockets>,
    /// Made of the rest when it is asked for first.
    granting: OnceLock<Granting>,
}

impl<V: Verify> Rules<V> {
    pub(super) fn new(verifier: V, settings: Settings, sessions: Sessions) -> Self {
        Self {
            verifier: Arc::new(verifier),
            settings: Arc::new(settings),
            sessions,
            shares_sessions: false,
            dialect: None,
            pending: Arc::default(),
            granting: OnceLock::new(),
        }
    }

    /// The rules of one layer, for that layer to change.
    pub(super) fn to_be_changed(shared: &mut Arc<Self>) -> &mut Self {
        let rules = Arc::make_mut(shared);
        rules.granting = OnceLock::new();
        rules
    }

    pub(super) fn granting(&self) -> &Granting {
        self.granting.get_or_init(|| {
            // It has its own pointers to both, since one to the rules would keep them for ever.
            let asker = Asker {
                verifier: Arc::clone(&self.verifier),
                settings: Arc::clone(&self.settings),
            };
            let context = SessionContext {
                sessions: self.sessions.clone(),
                codes: self.settings.codes(),
                verifier: Arc::new(asker),
            };
            let grant = SocketGrant::new(context, self.dialect.clone(), self.settings.in_band);
            let pending = Arc::clone(&self.pending);
            Granting::new(grant, pending, self.verifier.needs_handshake())
        })
    }
}

impl<V: Verify> Clone for Rules<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: Arc::clone(&self.verifier),
            settings: Arc::clone(&self.settings),
            sessions: self.sessions.clone(),
            shares_sessions: self.shares_sessions,
            dialect: self.dialect.clone(),
            pending: Arc::clone(&self.pending),
            granting: OnceLock::new(),
        }
    }
}

impl<V: Verify> fmt::Debug for Rules<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
