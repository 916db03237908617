use http::request::Parts;
use http::{Extensions, Response};
use portcullis_core::Identity;

use super::answer::{RefusalPolicy, respond};
use super::{Refusal, Respond};

/// A refusal by a part inside of an `AuthLayer`.
///
/// The part returns a plain response with this in its extensions. The layer takes it out, and
/// answers with its own responder, the profile's status and the headers of every refusal. The
/// plain response reaches the client only if a middleware in between drops the extensions.
#[derive(Clone, Debug)]
pub(crate) struct Unanswered {
    pub(crate) refusal: Refusal,
    /// The request, from which the layer has removed the credentials. If its extensions contain the
    /// `OnUpgrade`, the layer may refuse in band.
    pub(crate) request: Parts,
}

impl Unanswered {
    pub(crate) fn new(refusal: Refusal, request: Parts) -> Self {
        Self { refusal, request }
    }

    /// Builds the plain response.
    pub(crate) fn into_response<R: Respond<B>, B>(
        self,
        responder: &R,
        upgrade: bool,
    ) -> Response<B> {
        let policy = RefusalPolicy::default();
        let refusal = self.refusal.clone();
        let mut response = respond(refusal, &policy, responder, &self.request, upgrade);
        response.extensions_mut().insert(self);
        response
    }
}

/// Marks a request that a layer has admitted without an identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmittedAnonymously;

/// Returns whether a layer has admitted the request with these extensions.
pub(crate) fn is_admitted(extensions: &Extensions) -> bool {
    extensions.get::<Identity>().is_some() || extensions.get::<AdmittedAnonymously>().is_some()
}
