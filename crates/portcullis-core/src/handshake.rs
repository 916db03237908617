use std::net::SocketAddr;

/// What a verifier may see of the request that bore a credential.
///
/// A credential that is bound to a place, as a ticket is, can only be judged beside it. Most
/// verifiers have no use for it, so it is made only for those that ask; see
/// [`Verify::needs_handshake`](crate::Verify::needs_handshake).
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
    reason = "a test builds one with the fields it is about"
)]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// The path, as the client sent it.
    pub path: Box<str>,

    /// The `Origin`, if there is one.
    pub origin: Option<Box<str>>,

    /// The address of the client, if the server knows it.
    pub peer: Option<SocketAddr>,

    /// Whether it opens a socket.
    pub upgrade: bool,
}

impl Handshake {
    /// A request for `path` that opens no socket and names no origin.
    pub fn new(path: impl Into<Box<str>>) -> Self {
        Self {
            path: path.into(),
            origin: None,
            peer: None,
            upgrade: false,
        }
    }
}
