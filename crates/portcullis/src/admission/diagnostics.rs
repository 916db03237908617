//! Mistakes in the set-up of an application. Each is reported once per layer, with the fix.

use std::sync::Once;

use http::Extensions;
use http::request::Parts;
use portcullis_core::Identity;

use crate::profile::Profile;
use crate::refusal::{Refusal, RefusalKind};

/// What a layer has reported so far.
#[derive(Debug)]
pub(super) struct Diagnostics {
    scheme: Once,
    two_layers: Once,
    method: Once,
    unguarded: Once,
}

impl Diagnostics {
    pub(super) fn new() -> Self {
        Self {
            scheme: Once::new(),
            two_layers: Once::new(),
            method: Once::new(),
            unguarded: Once::new(),
        }
    }

    /// Reports that the origin of a request has the host of this server, but the other scheme.
    pub(super) fn other_scheme(&self, explanation: impl FnOnce() -> String) {
        self.scheme
            .call_once(|| tracing::warn!(target: "portcullis", "{}", explanation()));
    }

    /// Reports that the inner service answered an HTTP/2 handshake with 405, as axum does for a
    /// route with `get`.
    pub(super) fn method_not_allowed(&self) {
        self.method.call_once(|| {
            tracing::warn!(
                target: "portcullis",
                "the route answers a WebSocket handshake over HTTP/2 with 405, because its method \
                 is CONNECT; use `any(handler)` instead of `get(handler)`"
            );
        });
    }

    /// Reports that a socket was opened without a session.
    pub(super) fn unguarded(&self) {
        self.unguarded.call_once(|| {
            tracing::warn!(
                target: "portcullis",
                "a handler opened a WebSocket that is admitted but not guarded: it stays open after \
                 its credential has expired or is revoked; use `GuardedUpgrade` instead of \
                 `WebSocketUpgrade`, or guard the socket of another crate with `Session::guard`"
            );
        });
    }

    /// Adds the reason of a refusal for the log, where the request shows a mistake in the set-up.
    pub(super) fn explain(&self, refusal: Refusal, profile: &Profile, request: &Parts) -> Refusal {
        if refusal.kind() != RefusalKind::MissingCredential {
            return refusal;
        }
        if has_lost_credential(profile, &request.extensions) {
            self.two_layers.call_once(|| {
                tracing::error!(target: "portcullis", "{TWO_LAYERS}");
            });
            return refusal.with_reason(|| TWO_LAYERS.to_owned());
        }
        refusal.with_reason(|| NO_CREDENTIAL.to_owned())
    }
}

/// Returns whether an outer layer has removed the credential that this layer looks for.
fn has_lost_credential(profile: &Profile, extensions: &Extensions) -> bool {
    let proof = extensions.get::<Identity>().and_then(Identity::proof);
    proof.is_some_and(|proof| {
        let mut carriers = profile.carriers().iter();
        carriers.any(|config| config.carrier() == proof.carrier)
    })
}

const TWO_LAYERS: &str = "a request passes two `AuthLayer`s: the outer one has admitted it and has \
     removed the credential, so the inner one refuses it; remove one of them";

// axum does not tell a layer whether a route matches.
const NO_CREDENTIAL: &str = "no carrier of the profile contains a credential; if no route matches \
     the path, use `.route_layer(auth)` instead of `.layer(auth)`, so that the response is 404";
