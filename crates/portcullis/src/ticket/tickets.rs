use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_core::{
    ClaimsCodec, ClaimsError, Clock, Credential, Handshake, Identity, StoreError, SystemClock,
    TicketKey, TicketStore, Verify, VerifyError,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize, Zeroizing};

use super::MemoryTickets;
use super::path::covers;
use super::record::Record;

/// Mints tickets and verifies them; see the [module docs](super).
///
/// A ticket has the identity of the credential that minted it, with the same expiry and claims.
///
/// A path that ends in `/*` matches all paths below: `/rooms/*` matches `/rooms/7` and
/// `/rooms/7/ws`, but neither `/rooms` nor a path with a segment `.` or `..`.
///
/// [`mint_handler`](crate::ws::mint_handler) is a handler that mints tickets. Mint a ticket
/// yourself to put it into a page or a message:
///
/// ```
/// use std::sync::Arc;
/// use axum::{extract::State, http::StatusCode};
/// use portcullis::{ticket::Binding, Identity, Tickets};
///
/// async fn link(
///     State(tickets): State<Arc<Tickets>>,
///     identity: Identity,
/// ) -> Result<String, StatusCode> {
///     let room = Binding { path: Some("/rooms/7".into()), ..Binding::default() };
///     match tickets.mint(&identity, room).await {
///         Ok(ticket) => {
///             let ticket = ticket.expose_secret();
///             Ok(format!("wss://chat.example.com/rooms/7?ticket={ticket}"))
///         }
///         Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
///     }
/// }
/// # let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(["/rooms/*"]));
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::post(link)).with_state(tickets);
/// ```
pub struct Tickets<T = MemoryTickets> {
    store: T,
    paths: Box<[Box<str>]>,
    lifetime: Duration,
    bind_origin: bool,
    bind_peer: bool,
    clock: Arc<dyn Clock>,
    claims: ClaimsCodec,
}

impl Tickets {
    /// Creates tickets for these paths, with a store for 10,000 tickets in memory.
    pub fn in_memory<P: Into<Box<str>>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self::new(MemoryTickets::new(10_000), paths)
    }
}

impl<T> Tickets<T> {
    /// Creates tickets for these paths, with a store.
    pub fn new<P: Into<Box<str>>>(store: T, paths: impl IntoIterator<Item = P>) -> Self {
        Self {
            store,
            paths: paths.into_iter().map(Into::into).collect(),
            lifetime: LONGEST,
            bind_origin: false,
            bind_peer: false,
            clock: Arc::new(SystemClock),
            claims: ClaimsCodec::none(),
        }
    }

    /// Sets the lifetime of a ticket; thirty seconds by default, which is also the maximum.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime.min(LONGEST);
        self
    }

    /// Binds tickets to the `Origin` of the request that mints them.
    ///
    /// A handshake with another `Origin` is refused. If the first request had none, the handshake
    /// must have none.
    #[must_use]
    pub fn bind_origin(mut self) -> Self {
        self.bind_origin = true;
        self
    }

    /// Binds tickets to the IP address of the request that mints them.
    ///
    /// Do not use it for clients that change between networks, or behind a proxy that hides their
    /// addresses.
    #[must_use]
    pub fn bind_peer(mut self) -> Self {
        self.bind_peer = true;
        self
    }

    /// Sets the clock for the expiry of identities; the system clock by default.
    ///
    /// The store has its own clock for the lifetime of tickets.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Registers the type of the claims that tickets contain.
    ///
    /// Tickets are stored as JSON, so serde has to support the type. Without this, minting a ticket
    /// for an identity with claims fails with [`MintError::Claims`]. All servers that share a store
    /// have to register the same type.
    ///
    /// ```
    /// use portcullis::Tickets;
    ///
    /// #[derive(serde::Deserialize, serde::Serialize)]
    /// struct Member {
    ///     team: String,
    /// }
    ///
    /// let tickets = Tickets::in_memory(["/ws"]).with_claims::<Member>();
    /// ```
    #[must_use]
    pub fn with_claims<C>(mut self) -> Self
    where
        C: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.claims = ClaimsCodec::of::<C>();
        self
    }

    /// Returns the store.
    pub fn store(&self) -> &T {
        &self.store
    }
}

impl<T: TicketStore> Tickets<T> {
    /// Mints a ticket for `identity`.
    ///
    /// # Errors
    ///
    /// Returns an error if the identity has expired, if its claims have an unregistered type, if
    /// the tickets are not for the requested path, or if the store is full or unavailable.
    pub async fn mint(&self, identity: &Identity, binding: Binding) -> Result<Ticket, MintError> {
        let now = self.clock.now();
        let left = match identity.expires_at() {
            Some(end) => end.duration_since(now).unwrap_or_default(),
            None => self.lifetime,
        };
        let lifetime = self.lifetime.min(left);
        if lifetime.is_zero() {
            return Err(MintError::Expired);
        }
        if binding.path.as_ref().is_some_and(|path| !self.is_for(path)) {
            return Err(MintError::OtherPath);
        }
        // An identity without `issued_at` does not get one here. A revocation covers only what was
        // issued before it, and this machine may not know yet that the subject was revoked.
        let identity = identity.to_builder().single_use().build();
        let record = Record::new(&identity, self.claims, self.paths.clone());
        let mut record = record.map_err(MintError::Claims)?;
        record.path = binding.path;
        record.origin = self.bind_origin.then_some(binding.origin);
        record.peer = self.bind_peer.then_some(binding.peer);
        let mut bytes = [0; 16];
        // Without random bytes nothing on the server is secure, so it must not continue.
        getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes));
        bytes.zeroize();
        let sealed = record.seal(&secret);
        self.store.put(key(&secret), sealed, lifetime).await?;
        Ok(Ticket { secret, lifetime })
    }

    fn is_for(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| covers(pattern, path))
    }

    fn is_bound_to(&self, record: &Record, handshake: &Handshake) -> bool {
        // Servers with tickets for different paths may share a store, so both lists count.
        let path = &*handshake.path;
        let path = self.is_for(path)
            && record.paths.iter().any(|pattern| covers(pattern, path))
            && record.path.as_deref().is_none_or(|bound| bound == path);
        let origin = record
            .origin
            .as_ref()
            .is_none_or(|bound| *bound == handshake.origin);
        let peer = handshake.peer.map(|peer| peer.ip());
        path && origin && record.peer.is_none_or(|bound| bound == peer)
    }
}

/// Verifies a ticket, and removes it from the store.
impl<T: TicketStore> Verify for Tickets<T> {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let handshake = credential.handshake();
        // A request without an upgrade does not use the ticket up.
        let Some(handshake) = handshake.filter(|handshake| handshake.upgrade) else {
            return Err(VerifyError::Invalid);
        };
        let secret = credential.expose_secret();
        if secret.len() != LETTERS || URL_SAFE_NO_PAD.decode(secret).is_err() {
            return Err(VerifyError::Invalid);
        }
        let taken = self.store.take(key(secret)).await;
        let sealed = taken.map_err(|_| VerifyError::unavailable())?;
        // From here on the ticket is used up, even if a check fails.
        let record = sealed.and_then(|sealed| Record::open(sealed, secret));
        let record = record.ok_or(VerifyError::Invalid)?;
        let identity = record.identity(self.claims).map_err(|error| {
            tracing::error!(target: "portcullis", "cannot read the claims of a ticket: {error}");
            VerifyError::unavailable()
        })?;
        let username = credential.username();
        let has_username = username.is_none_or(|name| name == identity.subject());
        match has_username && self.is_bound_to(&record, handshake) {
            true => Ok(identity),
            false => Err(VerifyError::Invalid),
        }
    }

    fn needs_handshake(&self) -> bool {
        true
    }
}

/// The requests that a ticket is valid for.
#[expect(
    clippy::exhaustive_structs,
    reason = "a caller fills in what it knows of its request"
)]
#[derive(Clone, Debug, Default)]
pub struct Binding {
    /// The only path that the ticket is for; `None` for every path of the [`Tickets`].
    pub path: Option<Box<str>>,

    /// The `Origin` of the request that mints the ticket; see [`Tickets::bind_origin`].
    pub origin: Option<Box<str>>,

    /// The address of the request that mints the ticket; see [`Tickets::bind_peer`].
    pub peer: Option<IpAddr>,
}

/// A minted ticket. `Debug` does not print it.
pub struct Ticket {
    secret: Zeroizing<String>,
    lifetime: Duration,
}

impl Ticket {
    /// Returns the ticket: 22 characters of base64url, which a query, a subprotocol and a message
    /// can contain without escapes.
    pub fn expose_secret(&self) -> &str {
        &self.secret
    }

    /// Returns the lifetime of the ticket.
    pub fn expires_in(&self) -> Duration {
        self.lifetime
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("secret", &"[redacted]")
            .field("expires_in", &self.lifetime)
            .finish()
    }
}

/// The error of [`Tickets::mint`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MintError {
    /// The claims of the identity have a type that is not registered; see
    /// [`Tickets::with_claims`].
    Claims(ClaimsError),

    /// The identity has expired.
    Expired,

    /// The tickets are not for the requested path.
    OtherPath,

    /// The store is full or unavailable.
    Store(StoreError),
}

impl From<StoreError> for MintError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims(error) => error.fmt(f),
            Self::Expired => f.write_str("the identity has expired"),
            Self::OtherPath => f.write_str("the tickets are not for this path"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MintError {}

impl<T: fmt::Debug> fmt::Debug for Tickets<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("store", &self.store)
            .field("paths", &self.paths)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Returns the key in the store. A ticket is random, so a digest without a key does not reveal it.
fn key(secret: &str) -> TicketKey {
    TicketKey::new(*blake3::hash(secret.as_bytes()).as_bytes())
}

/// The longest lifetime of a ticket.
const LONGEST: Duration = Duration::from_secs(30);

/// The length of 128 bits in base64url.
const LETTERS: usize = 22;
