use std::fmt;
use std::sync::Arc;

use crate::{Carrier, Handshake};

/// A secret as the client sent it, with the carrier it came in.
///
/// A secret has at most 8 KiB. `Debug` does not print it, and there is no `Display`. The memory is
/// zeroized on drop; a clone is a separate copy, which is zeroized as well.
///
/// ```
/// use portcullis_core::{Carrier, Credential, Scheme};
///
/// let credential = Credential::new(Carrier::Query, Scheme::Bearer, "s3cret");
/// assert_eq!(credential.expose_secret(), "s3cret");
/// assert!(!format!("{credential:?}").contains("s3cret"));
/// ```
#[derive(Clone)]
pub struct Credential {
    secret: Secret,
    username: Option<Box<str>>,
    carrier: Carrier,
    scheme: Scheme,
    handshake: Option<Arc<Handshake>>,
}

impl Credential {
    /// Creates a credential from a secret, its carrier and its scheme.
    ///
    /// A `String` is moved, so that no other copy of the secret remains in memory.
    pub fn new(carrier: Carrier, scheme: Scheme, secret: impl Into<String>) -> Self {
        Self {
            secret: Secret(secret.into()),
            username: None,
            carrier,
            scheme,
            handshake: None,
        }
    }

    /// Creates a credential from a bearer token in the `Authorization` header.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::new(Carrier::Authorization, Scheme::Bearer, token)
    }

    /// Creates a credential from a user name and a password (RFC 7617). The password is the secret.
    ///
    /// Clients other than browsers send it for `ws://alice:s3cret@host/`.
    pub fn basic(username: impl Into<Box<str>>, password: impl Into<String>) -> Self {
        Self {
            username: Some(username.into()),
            ..Self::new(Carrier::Authorization, Scheme::Basic, password)
        }
    }

    /// Returns the carrier that the credential came in.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Returns the authentication scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the user name that came with a password; `None` unless the scheme is
    /// [`Scheme::Basic`].
    ///
    /// A verifier that ignores the user name accepts a token under any user name.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// Returns the secret: the token, or the password.
    ///
    /// The name makes the uses of the secret visible in a verifier. Do not put the secret into a
    /// log, an error or the key of a cache.
    pub fn expose_secret(&self) -> &str {
        &self.secret.0
    }

    /// Returns the request that the credential came with, if the verifier
    /// [needs it](crate::Verify::needs_handshake).
    pub fn handshake(&self) -> Option<&Handshake> {
        self.handshake.as_deref()
    }

    /// Attaches the handshake that the credential came with. For `AuthLayer`, which is in another
    /// crate.
    #[doc(hidden)]
    #[must_use]
    pub fn presented_with(mut self, handshake: impl Into<Arc<Handshake>>) -> Self {
        self.handshake = Some(handshake.into());
        self
    }

    /// Returns whether both have the same secret and user name, in whatever carriers.
    ///
    /// VS Code, for example, sends one token in the header and in the query.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.secret == other.secret && self.username == other.username
    }
}

/// The text of a secret, which is zeroized on drop.
///
/// `Zeroizing` writes each byte separately: 290 instructions more for a JWT of 260 bytes.
#[derive(Clone, Eq, PartialEq)]
struct Secret(String);

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.clear();
        // The whole allocation. It does not grow, so no copy is left behind.
        bytes.resize(bytes.capacity(), 0);
        zeroize::optimization_barrier(&*bytes);
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("carrier", &self.carrier)
            .field("scheme", &self.scheme)
            .field("username", &self.username)
            .field("secret", &"[redacted]")
            .finish()
    }
}

/// The authentication scheme of a credential.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scheme {
    /// A user name and a password, RFC 7617.
    Basic,

    /// A bearer token, RFC 6750. Tokens in a query, a cookie or a subprotocol count as bearer
    /// tokens.
    Bearer,

    /// A bearer token with Jupyter's scheme, `Authorization: token …`.
    Token,
}

impl Scheme {
    /// Returns the name of the scheme, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_no_secret() {
        let printed = format!("{:?}", Credential::basic("alice", "s3cret"));
        assert!(printed.contains("alice"));
        assert!(!printed.contains("s3cret"));
    }

    #[test]
    fn same_secret_in_two_carriers_is_one_credential() {
        let header = Credential::new(Carrier::Authorization, Scheme::Token, "t");
        let query = Credential::new(Carrier::Query, Scheme::Bearer, "t");
        assert!(header.is_same_as(&query));
        assert!(!header.is_same_as(&Credential::bearer("u")));
        assert!(!header.is_same_as(&Credential::basic("alice", "t")));
    }
}
