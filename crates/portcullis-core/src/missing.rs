use std::any::type_name;
use std::fmt;

/// A handler asks for an [`Identity`](crate::Identity), and no layer has put one there: the
/// application is built wrong.
///
/// Answers 500. The body and the log name the layer that is missing, and the claims that were
/// asked for, since `Identity<A>` is not found where the verifier's claims are `B`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MissingAuthLayer {
    claims: &'static str,
}

impl MissingAuthLayer {
    /// Nothing is there that has the claims `C`.
    pub fn of<C>() -> Self {
        Self {
            claims: type_name::<C>(),
        }
    }
}

impl fmt::Display for MissingAuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "No `Identity<{}>` in the request: put an `AuthLayer` whose verifier has these claims \
             around the route, or ask for `Option<Identity<_>>` where it allows anonymous access",
            self.claims
        )
    }
}

impl std::error::Error for MissingAuthLayer {}
