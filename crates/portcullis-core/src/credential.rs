use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{Carrier, Handshake};

/// A secret as the client sent it, with the carrier it rode in.
///
/// A credential is at most 8 KiB long. Its `Debug` prints no byte of the secret, there is no
/// `Display`, and the memory is wiped when it is dropped. A clone is a copy of its own, wiped by
/// itself.
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
    secret: Zeroizing<String>,
    username: Option<Box<str>>,
    carrier: Carrier,
    scheme: Scheme,
    handshake: Option<Arc<Handshake>>,
}

impl Credential {
    /// A secret that came by `carrier`, spoken in `scheme`.
    ///
    /// A `String` is taken over as it is, so that no copy of the secret is left behind.
    pub fn new(carrier: Carrier, scheme: Scheme, secret: impl Into<String>) -> Self {
        Self {
            secret: Zeroizing::new(secret.into()),
            username: None,
            carrier,
            scheme,
            handshake: None,
        }
    }

    /// A bearer token from the `Authorization` header, which is what most clients send.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::new(Carrier::Authorization, Scheme::Bearer, token)
    }

    /// A user name and a password (RFC 7617). The password is the secret.
    ///
    /// `ws://alice:s3cret@host/` sends this, from every client but a browser.
    pub fn basic(username: impl Into<Box<str>>, password: impl Into<String>) -> Self {
        Self {
            username: Some(username.into()),
            ..Self::new(Carrier::Authorization, Scheme::Basic, password)
        }
    }

    /// The carrier it rode in.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// How it was spoken.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The name that came with a password; `None` for every scheme but [`Scheme::Basic`].
    ///
    /// A verifier that ignores it lets everybody use a token under any name.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The secret itself: the token, or the password.
    ///
    /// The name is long so that a reader of the verifier sees where the secret goes. It should go
    /// no further than there: not into a log, an error or the key of a cache.
    pub fn expose_secret(&self) -> &str {
        &self.secret
    }

    /// The request it came with, for a verifier that asks for it; see
    /// [`Verify::needs_handshake`](crate::Verify::needs_handshake).
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

    /// Whether both say the same, whatever carried them.
    ///
    /// VS Code sends one token in the header and in the query. That is one credential.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.secret == other.secret && self.username == other.username
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

/// How a credential is spoken.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scheme {
    /// A user name and a password, RFC 7617.
    Basic,

    /// A bearer token, RFC 6750. Whoever has it may use it; so are tokens of the query, of a
    /// cookie and of a subprotocol.
    Bearer,

    /// Jupyter's older name for a bearer token: `Authorization: token …`.
    Token,
}

impl Scheme {
    /// The scheme's name, in lower case.
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
