use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use portcullis_core::Scopes;
use tower_layer::Layer;

use super::RequireScope;
use crate::refusal::Problem;

/// Lets an identity through that has the scopes a route asks for. See the [module docs](super).
///
/// An identity without them gets 403 and `insufficient_scope` (RFC 6750 §3.1), no identity gets
/// 401. `C` is the type of the verifier's claims; see [`claims`](Self::claims).
///
/// It looks once, at the request. A socket whose client is to say in a
/// [message](crate::dialect) who it is has no identity yet, and is refused; and a session that is
/// renewed with fewer scopes goes on. Where scopes may change while a socket is open, its handler
/// looks at [`GuardedSocket::identity`](crate::GuardedSocket::identity).
#[must_use = "a layer protects nothing before it is put on a route"]
pub struct RequireScopeLayer<C = (), R = Problem> {
    pub(super) rule: Arc<Rule>,
    pub(super) responder: R,
    pub(super) claims: PhantomData<fn() -> C>,
}

impl RequireScopeLayer {
    /// Asks for all of these scopes.
    pub fn all<S: Into<Box<str>>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::new(Rule {
            any: false,
            scopes: scopes.into_iter().collect(),
        })
    }

    /// Asks for at least one of these scopes. Of none, nobody has one.
    pub fn any<S: Into<Box<str>>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::new(Rule {
            any: true,
            scopes: scopes.into_iter().collect(),
        })
    }

    fn new(rule: Rule) -> Self {
        Self {
            rule: Arc::new(rule),
            responder: Problem,
            claims: PhantomData,
        }
    }
}

impl<C, R> RequireScopeLayer<C, R> {
    /// Asks identities with claims of another type than `()`. It has to be the verifier's: an
    /// identity with other claims is not found, and everybody gets 401.
    ///
    /// ```
    /// use portcullis::RequireScopeLayer;
    ///
    /// struct Member {
    ///     tenant: u32,
    /// }
    ///
    /// let readers = RequireScopeLayer::all(["chat:read"]).claims::<Member>();
    /// ```
    pub fn claims<D>(self) -> RequireScopeLayer<D, R> {
        RequireScopeLayer {
            rule: self.rule,
            responder: self.responder,
            claims: PhantomData,
        }
    }

    /// Answers refusals with `responder`, a [`Respond`](crate::refusal::Respond) such as a closure.
    pub fn respond<Q>(self, responder: Q) -> RequireScopeLayer<C, Q> {
        RequireScopeLayer {
            rule: self.rule,
            responder,
            claims: PhantomData,
        }
    }
}

impl<S, C, R: Clone> Layer<S> for RequireScopeLayer<C, R> {
    type Service = RequireScope<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireScope {
            inner,
            layer: self.clone(),
        }
    }
}

impl<C, R: Clone> Clone for RequireScopeLayer<C, R> {
    fn clone(&self) -> Self {
        Self {
            rule: Arc::clone(&self.rule),
            responder: self.responder.clone(),
            claims: PhantomData,
        }
    }
}

impl<C, R> fmt::Debug for RequireScopeLayer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScopeLayer")
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Rule {
    any: bool,
    pub(super) scopes: Scopes,
}

impl Rule {
    pub(super) fn admits(&self, have: &Scopes) -> bool {
        let mut wanted = self.scopes.iter();
        match self.any {
            true => wanted.any(|scope| have.contains(scope)),
            false => wanted.all(|scope| have.contains(scope)),
        }
    }
}
