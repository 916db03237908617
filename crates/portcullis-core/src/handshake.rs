use std::net::SocketAddr;

/// The parts of a request that a verifier may see.
///
/// Use it to verify a credential that is bound to a path, an origin or an address, as a ticket is.
/// Admission builds it only for verifiers that [need it](crate::Verify::needs_handshake).
///
/// ```
/// use portcullis_core::{Credential, Handshake};
///
/// let handshake = Handshake { upgrade: true, ..Handshake::new("/ws") };
/// let credential = Credential::bearer("t").presented_with(handshake);
/// assert_eq!(credential.handshake().unwrap().path, "/ws".into());
/// ```
#[expect(
    clippy::exhaustive_structs,
    reason = "a test sets the fields that it is about"
)]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// The path of the request.
    pub path: Box<str>,

    /// The `Origin` header, if there is one.
    pub origin: Option<Box<str>>,

    /// The address of the client, if the server provides it.
    pub peer: Option<SocketAddr>,

    /// Whether the request is an upgrade.
    pub upgrade: bool,
}

impl Handshake {
    /// Creates the handshake of a request for `path`, without an origin, that is not an upgrade.
    pub fn new(path: impl Into<Box<str>>) -> Self {
        Self {
            path: path.into(),
            origin: None,
            peer: None,
            upgrade: false,
        }
    }
}
