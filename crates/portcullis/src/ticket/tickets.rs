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

/// Mints tickets, and verifies them; see the [module docs](super).
///
/// The identity of a ticket is the whole identity that it was minted for, its expiry included; what
/// it does not have is the proof of the credential before it.
///
/// A path that ends in `/*` stands for all that is below it: `/rooms/*` for `/rooms/7` and
/// `/rooms/7/ws`, not for `/rooms`, nor for a path with `.` or `..` in it.
///
/// [`mint_handler`](crate::mint_handler) is a route for it. Where a page or a message of yours is to
/// have the ticket in it, mint one yourself:
///
/// ```
/// use std::sync::Arc;
/// use axum::{extract::State, http::StatusCode};
/// use portcullis::{ticket::Binding, Identity, Tickets};
///
/// async fn link(State(tickets): State<Arc<Tickets>>, identity: Identity) -> Result<String, StatusCode> {
///     let room = Binding { path: Some("/rooms/7".into()), ..Binding::default() };
///     match tickets.mint(&identity, room).await {
///         Ok(ticket) => Ok(format!("wss://chat.example.com/rooms/7?ticket={}", ticket.expose_secret())),
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
    /// Tickets for these paths, up to 10,000 at a time in the memory of this process.
    pub fn in_memory<P: Into<Box<str>>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self::new(MemoryTickets::new(10_000), paths)
    }
}

impl<T> Tickets<T> {
    /// Tickets for these paths, in a store.
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

    /// How long a ticket is good for: thirty seconds, which is also the most.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime.min(LONGEST);
        self
    }

    /// A ticket is good only from the `Origin` that it was minted from: both requests have the
    /// same, or neither has one.
    #[must_use]
    pub fn bind_origin(mut self) -> Self {
        self.bind_origin = true;
        self
    }

    /// A ticket is good only from the address that it was minted from. Not for clients that change
    /// between networks, nor behind a proxy that hides them.
    #[must_use]
    pub fn bind_peer(mut self) -> Self {
        self.bind_peer = true;
        self
    }

    /// Takes the time from `clock` instead of the machine. The store keeps its own time.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Registers the type of the claims that tickets carry.
    ///
    /// A ticket leaves the process as JSON, so its claims need a type that serde knows. Without
    /// this, minting a ticket for an identity with claims is [`MintError::Claims`]. All servers that
    /// share a store register the same type.
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
    /// If the identity has ended, if the ticket is asked for a path that the tickets are not for,
    /// or if the store does not take it.
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
        // What does not say when it was issued does not say it now either: this machine may not have
        // heard yet that its subject was revoked, and what is issued later is not covered.
        let identity = identity.to_builder().single_use().build();
        let record = Record::new(&identity, self.claims, self.paths.clone());
        let mut record = record.map_err(MintError::Claims)?;
        record.path = binding.path;
        record.origin = self.bind_origin.then_some(binding.origin);
        record.peer = self.bind_peer.then_some(binding.peer);
        let mut bytes = [0; 16];
        // Without randomness a server cannot do TLS either. Nothing sensible is left to do.
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes));
        bytes.zeroize();
        let sealed = record.seal(&secret);
        self.store.put(key(&secret), sealed, lifetime).await?;
        Ok(Ticket { secret, lifetime })
    }

    async fn redeem(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let handshake = credential.handshake();
        // A ticket in the address of an ordinary request is not for it, and is not used up by it.
        let Some(handshake) = handshake.filter(|handshake| handshake.upgrade) else {
            return Err(VerifyError::Invalid);
        };
        let secret = credential.expose_secret();
        if secret.len() != LETTERS || URL_SAFE_NO_PAD.decode(secret).is_err() {
            return Err(VerifyError::Invalid);
        }
        let taken = self.store.take(key(secret)).await;
        let record = taken.map_err(|_| VerifyError::unavailable())?;
        // Taken, whatever is wrong with it.
        let record = record.and_then(|sealed| Record::open(sealed, secret));
        let record = record.ok_or(VerifyError::Invalid)?;
        let named = credential.username();
        let identity = record.identity(self.claims).map_err(|error| {
            tracing::error!(target: "portcullis", "cannot read the claims of a ticket: {error}");
            VerifyError::unavailable()
        })?;
        let is_its_own = named.is_none_or(|name| name == identity.subject());
        match is_its_own && self.is_bound_to(&record, handshake) {
            true => Ok(identity),
            false => Err(VerifyError::Invalid),
        }
    }

    fn is_for(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| covers(pattern, path))
    }

    fn is_bound_to(&self, record: &Record, handshake: &Handshake) -> bool {
        // Also where servers with tickets for different paths share a store.
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

/// Redeems a ticket, which is gone after that.
impl<T: TicketStore> Verify for Tickets<T> {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.redeem(credential).await
    }

    fn needs_handshake(&self) -> bool {
        true
    }
}

/// What a ticket is bound to, beside its subject.
#[expect(
    clippy::exhaustive_structs,
    reason = "a caller fills in what it knows of its request"
)]
#[derive(Clone, Debug, Default)]
pub struct Binding {
    /// The one path it is good for; every path of the [`Tickets`] if there is none.
    pub path: Option<Box<str>>,

    /// The `Origin` of the request that mints it; see [`Tickets::bind_origin`].
    pub origin: Option<Box<str>>,

    /// The address that mints it; see [`Tickets::bind_peer`].
    pub peer: Option<IpAddr>,
}

/// A ticket that was minted. Its `Debug` prints no letter of it.
pub struct Ticket {
    secret: Zeroizing<String>,
    lifetime: Duration,
}

impl Ticket {
    /// The ticket itself: 22 letters of base64url, fit for a query, a subprotocol and a message.
    pub fn expose_secret(&self) -> &str {
        &self.secret
    }

    /// How long it is good for.
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

/// Why no ticket is minted.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MintError {
    /// The claims of the identity have a type that is not registered; see
    /// [`Tickets::with_claims`].
    Claims(ClaimsError),

    /// The identity has expired.
    Expired,

    /// The tickets are not for the path that was asked for.
    OtherPath,

    /// The store is full, or does not answer.
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
            Self::OtherPath => f.write_str("there are no tickets for this path"),
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

/// The store never sees the ticket. It is random, so a plain digest tells nothing about it.
fn key(secret: &str) -> TicketKey {
    TicketKey::new(*blake3::hash(secret.as_bytes()).as_bytes())
}

/// No ticket is good for longer.
const LONGEST: Duration = Duration::from_secs(30);

/// The length of 128 bits in base64url.
const LETTERS: usize = 22;
