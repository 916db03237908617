use std::any::{Any, type_name};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The claims of an identity: any type of the application, shared between clones.
#[derive(Clone)]
pub(crate) struct SharedClaims {
    value: Arc<dyn Any + Send + Sync>,
    type_name: &'static str,
}

impl SharedClaims {
    pub(crate) fn new<T: Send + Sync + 'static>(claims: T) -> Self {
        Self {
            value: Arc::new(claims),
            type_name: type_name::<T>(),
        }
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    pub(crate) fn share<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.value).downcast().ok()
    }

    pub(crate) fn type_name(&self) -> &'static str {
        self.type_name
    }
}

/// The claims that the verifier attached to the identity of a request.
///
/// As an axum extractor, `Claims<Member>` responds with 500 if the route has no `AuthLayer`, or if
/// the verifier attaches no claims or claims of another type. The log then names both types; the
/// response names neither. `Option<Claims<Member>>` is `None` for an anonymous request and for an
/// identity without claims. For claims of another type, it also responds with 500.
///
/// Cloning `Claims` copies a pointer, not the claims.
///
/// ```
/// use portcullis_core::{Claims, Identity};
///
/// struct Member {
///     team: &'static str,
/// }
///
/// let alice = Identity::builder("alice").claims(Member { team: "red" }).build();
///
/// let member: Claims<Member> = Claims::of(&alice)?;
/// assert_eq!(member.team, "red");
/// assert!(Claims::<u32>::of(&alice).is_err());
/// # Ok::<_, portcullis_core::ClaimsError>(())
/// ```
pub struct Claims<T>(Arc<T>);

impl<T: Send + Sync + 'static> Claims<T> {
    /// Returns the claims of `identity`.
    ///
    /// To borrow them instead, use [`Identity::claims`](crate::Identity::claims).
    ///
    /// # Errors
    ///
    /// Returns [`ClaimsError`] if the identity has no claims, or claims of another type.
    pub fn of(identity: &crate::Identity) -> Result<Self, ClaimsError> {
        let shared = identity.shared_claims();
        shared
            .and_then(SharedClaims::share)
            .map(Self)
            .ok_or_else(|| ClaimsError::mismatch::<T>(identity))
    }
}

impl<T> Deref for Claims<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Claims<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Prints the type of the claims only, because claims may contain personal data.
impl<T> fmt::Debug for Claims<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claims<{}>", type_name::<T>())
    }
}

/// The claims of an identity are missing, have another type, or cannot be serialized.
///
/// The message names Rust types. It is meant for a log and not for a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimsError(Problem);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Problem {
    Mismatch {
        expected: &'static str,
        present: Option<&'static str>,
    },
    #[cfg(feature = "serde")]
    Unregistered { present: &'static str },
    #[cfg(feature = "serde")]
    Format(Box<str>),
}

impl ClaimsError {
    pub(crate) fn mismatch<T>(identity: &crate::Identity) -> Self {
        Self(Problem::Mismatch {
            expected: type_name::<T>(),
            present: identity.shared_claims().map(SharedClaims::type_name),
        })
    }

    #[cfg(feature = "serde")]
    pub(crate) fn unregistered(present: &'static str) -> Self {
        Self(Problem::Unregistered { present })
    }

    #[cfg(feature = "serde")]
    pub(crate) fn format(error: &serde_json::Error) -> Self {
        Self(Problem::Format(error.to_string().into()))
    }
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Problem::Mismatch {
                expected,
                present: Some(present),
            } => write!(
                f,
                "expected claims of type `{expected}`, but the verifier attached `{present}`; \
                 use the same type in the handler and in `Identity::builder(..).claims(..)`"
            ),
            Problem::Mismatch {
                expected,
                present: None,
            } => write!(
                f,
                "expected claims of type `{expected}`, but the verifier attached none; \
                 attach them with `Identity::builder(..).claims(..)`"
            ),
            #[cfg(feature = "serde")]
            Problem::Unregistered { present } => write!(
                f,
                "claims of type `{present}` cannot be serialized here; register their type with \
                 `with_claims::<{present}>()`"
            ),
            #[cfg(feature = "serde")]
            Problem::Format(error) => write!(f, "cannot convert claims to or from JSON: {error}"),
        }
    }
}

impl std::error::Error for ClaimsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    #[test]
    fn error_names_the_expected_and_the_present_type() {
        let plain = Identity::new("alice");
        let error = Claims::<u8>::of(&plain).unwrap_err().to_string();
        assert!(error.contains("`u8`") && error.contains("none"), "{error}");

        let numbered = Identity::builder("alice").claims(7_u8).build();
        let error = Claims::<String>::of(&numbered).unwrap_err().to_string();
        assert!(error.contains("`alloc::string::String`"), "{error}");
        assert!(error.contains("`u8`"), "{error}");
    }

    #[test]
    fn debug_prints_no_claims() {
        let identity = Identity::builder("alice").claims("s3cret").build();
        let claims = Claims::<&str>::of(&identity).unwrap();
        assert_eq!(*claims, "s3cret");
        assert_eq!(format!("{claims:?}"), "Claims<&str>");
        assert!(!format!("{identity:?}").contains("s3cret"));
    }
}
