use std::fmt;

use crate::ClaimsError;

/// A handler asks for an [`Identity`](crate::Identity), but no layer has put one into the request.
///
/// It is a mistake of the application: the response is 500, and an ERROR in the log names the fix.
#[expect(
    clippy::exhaustive_structs,
    reason = "the other crates of portcullis build it"
)]
#[derive(Clone, Copy, Debug, Default)]
pub struct IdentityRejection;

impl fmt::Display for IdentityRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no `Identity` in the request: add an `AuthLayer` with `.route_layer(auth)` after the \
             route (a route added later is not covered), or extract `Option<Identity>` if the \
             layer allows anonymous requests",
        )
    }
}

impl std::error::Error for IdentityRejection {}

/// A handler asks for [`Claims`](crate::Claims) that the request does not have.
///
/// It is a mistake of the application: the response is 500 without details, and an ERROR in the
/// log names the fix.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClaimsRejection {
    /// The identity has no claims, or claims of another type.
    Claims(ClaimsError),

    /// The request has no identity.
    Identity(IdentityRejection),
}

impl fmt::Display for ClaimsRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims(error) => error.fmt(f),
            Self::Identity(rejection) => rejection.fmt(f),
        }
    }
}

impl std::error::Error for ClaimsRejection {}
