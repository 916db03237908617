use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, SystemClock, Verify};
use tower_layer::Layer;

use super::admission::{Gate, Settings};
use super::origin::OriginPolicy;
use super::rules::Rules;
use super::{AllowedHost, AllowedOrigin, Auth, ParseHostError, ParseOriginError};
use crate::dialect::{Dialect, PendingLimits, PendingSockets};
use crate::profile::Profile;
use crate::refusal::Problem;
use crate::session::Sessions;

/// Lets a request through to the inner service only with a good credential.
///
/// It takes the same way with every request that reaches it, so one layer protects the pages, the
/// API and the sockets of a router. Put it on routes with `route_layer`: then an address that does
/// not exist stays a 404.
///
/// ```
/// use axum::{Router, response::Response, routing::any};
/// use portcullis::{AuthLayer, GuardedUpgrade, Identity, StaticTokens};
///
/// let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?);
/// let app: Router = Router::new().route("/ws", any(ws)).route_layer(auth);
///
/// async fn ws(identity: Identity, upgrade: GuardedUpgrade) -> Response {
///     upgrade.protocols(["chat.v2"]).on_upgrade(async move |mut socket| {
///         while let Some(Ok(message)) = socket.recv().await {
///             tracing::info!("{} says {message:?}", identity.subject());
///         }
///     })
/// }
/// # Ok::<_, portcullis::verify::StaticTokenError>(())
/// ```
///
/// Use `any(…)` for a WebSocket: over HTTP/2 the method is `CONNECT`.
///
/// # Defaults
///
/// [`Profile::default`], no anonymous access, ten seconds for the verifier. Cookies and other
/// ambient credentials need an `Origin` that is the server's own, over `http`; say
/// [`https`](Self::https) or name the [`allow_origins`](Self::allow_origins) if browsers reach the server over
/// TLS.
///
/// # Order
///
/// Around this layer belong, from the outside: [`PersistTokenLayer`](crate::PersistTokenLayer),
/// sensitive headers, tracing and CORS (which answers preflights, that bear no credential).
/// Inside it belongs [`RequireScopeLayer`](crate::RequireScopeLayer).
///
/// # Security
///
/// A layer *outside* of this one cannot take an admission back: hyper hands the socket to a handler
/// that asked for it, even if somebody turns its 101 into a 403 on the way out.
#[must_use = "a layer protects nothing before it is put on a route"]
pub struct AuthLayer<V: Verify, R = Problem> {
    pub(crate) gate: Gate<V, R>,
}

impl<V: Verify> AuthLayer<V> {
    /// A layer that admits whom `verifier` knows.
    pub fn new(verifier: V) -> Self {
        let sessions = Sessions::default();
        let settings = Settings {
            revocations: sessions.revocations(),
            pending: false,
            dialect_codes: None,
            in_band: false,
            profile: Profile::default(),
            origins: OriginPolicy::default(),
            anonymous: false,
            verify_timeout: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
        };
        Self {
            gate: Gate {
                rules: Arc::new(Rules::new(verifier, settings, sessions)),
                responder: Problem,
            },
        }
    }
}

impl<V: Verify, R> AuthLayer<V, R> {
    /// Reads the carriers of this profile, and answers as it says. [`Profile::default`] unless set.
    pub fn profile(self, profile: Profile) -> Self {
        self.with(|settings| settings.profile = profile)
    }

    /// Lets pages of these origins, too, use an ambient credential. The server's own always may.
    ///
    /// ```
    /// # use portcullis::{AuthLayer, StaticTokens};
    /// # let tokens = StaticTokens::new([("alice", "s3cret")]).unwrap();
    /// let auth = AuthLayer::new(tokens).allow_origins(["https://app.example.com", "https://*.example.org"])?;
    /// # Ok::<_, portcullis::admission::ParseOriginError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If one of them is not an origin; see [`AllowedOrigin`].
    pub fn allow_origins<O>(
        self,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<Self, ParseOriginError>
    where
        O: TryInto<AllowedOrigin>,
        ParseOriginError: From<O::Error>,
    {
        let origins: Vec<_> = origins
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok(self.with(|settings| settings.origins.allowed.extend(origins)))
    }

    /// Declares that browsers reach the server over TLS, so that its own origin is `https://…`.
    ///
    /// Call it behind a proxy that terminates TLS: no header of the request could be trusted to
    /// say so.
    pub fn https(self) -> Self {
        self.https_if(true)
    }

    /// Calls [`https`](Self::https) if `condition` is `true`, for a server that has TLS in
    /// production and none in development.
    ///
    /// ```
    /// # use portcullis::{AuthLayer, StaticTokens};
    /// # let tokens = StaticTokens::new([("alice", "s3cret")])?;
    /// let auth = AuthLayer::new(tokens).https_if(std::env::var_os("PRODUCTION").is_some());
    /// # Ok::<_, portcullis::verify::StaticTokenError>(())
    /// ```
    pub fn https_if(self, condition: bool) -> Self {
        self.with(|settings| settings.origins.https = condition)
    }

    /// Asks the `Origin` of every upgrade, also of one with a token. Only an ambient credential
    /// needs it by default.
    pub fn check_origin_always(self) -> Self {
        self.with(|settings| settings.origins.for_all = true)
    }

    /// Lets an upgrade with an ambient credential pass that has no `Origin`, for clients that are
    /// not browsers and keep cookies.
    ///
    /// Every browser sends an `Origin` when it opens a WebSocket.
    pub fn allow_absent_origin(self) -> Self {
        self.with(|settings| settings.origins.absent_passes = true)
    }

    /// Lets pages of any origin use an ambient credential.
    ///
    /// # Security
    ///
    /// Every page that a logged-in user visits can open a socket in the user's name, and read and
    /// write on it: cross-site WebSocket hijacking. `SameSite` does not help, since another port of
    /// the host is the same site.
    pub fn insecure_any_origin(self) -> Self {
        tracing::warn!("insecure_any_origin: every web page may use the cookies of its visitors");
        self.with(|settings| settings.origins.any = true)
    }

    /// Accepts requests for these hosts only, and refuses others with 421. All hosts by default.
    ///
    /// This prevents DNS rebinding, where a name such as `evil.example` resolves to 127.0.0.1: its
    /// pages then have the same origin as the server. A server on a loopback address should name
    /// `localhost`, `127.0.0.1` and `[::1]`. A host without a port fits every port.
    ///
    /// ```
    /// # use portcullis::{AuthLayer, StaticTokens};
    /// # let tokens = StaticTokens::new([("alice", "s3cret")]).unwrap();
    /// let auth = AuthLayer::new(tokens).hosts(["localhost", "127.0.0.1:8080", "[::1]"])?;
    /// # Ok::<_, portcullis::admission::ParseHostError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is not a host; see [`AllowedHost`].
    pub fn hosts<H>(self, hosts: impl IntoIterator<Item = H>) -> Result<Self, ParseHostError>
    where
        H: TryInto<AllowedHost>,
        ParseHostError: From<H::Error>,
    {
        let hosts = hosts
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok(self.with(|settings| settings.origins.hosts = Some(hosts)))
    }

    /// Lets a request without any credential through, without an
    /// [`Identity`](portcullis_core::Identity). A bad credential is refused all the same.
    ///
    /// Handlers behind it take `Option<Identity>`.
    pub fn allow_anonymous(self) -> Self {
        self.with(|settings| settings.anonymous = true)
    }

    /// How long a verifier may take before the request is answered with 503; ten seconds by
    /// default.
    pub fn verify_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.verify_timeout = limit)
    }

    /// Takes the time from `clock` instead of the machine. Sessions of a handle of your own have a
    /// [clock of their own](crate::session::SessionsBuilder::clock).
    pub fn clock(self, clock: impl Clock) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let layer = match self.gate.rules.shares_sessions {
            true => self,
            false => {
                let sessions = Sessions::builder().clock(Arc::clone(&clock)).build();
                self.with_sessions(&sessions)
            }
        };
        layer.with(|settings| settings.clock = clock)
    }

    /// Opens its sockets as sessions of this handle, by which they can be listed, renewed and
    /// revoked. What is revoked there is refused here.
    ///
    /// Without it the sockets are guarded all the same, with the defaults of
    /// [`Sessions::builder`], and nobody has a handle.
    pub fn sessions(self, sessions: &Sessions) -> Self {
        self.with_rules(|rules| rules.shares_sessions = true)
            .with_sessions(sessions)
    }

    /// Lets the clients of its sockets say in messages who they are, and renew it; see
    /// [`dialect`](crate::dialect).
    ///
    /// An upgrade without a credential is then admitted as *pending*; only
    /// [`GuardedUpgrade`](crate::GuardedUpgrade) can open it. A bad credential in the handshake is
    /// refused as ever.
    ///
    /// # Panics
    ///
    /// If no close frame may bear one of the codes of the dialect; see
    /// [`CloseFrame::new`](crate::CloseFrame::new).
    pub fn dialect(self, dialect: impl Dialect) -> Self {
        let (pending, codes) = (dialect.admits_pending(), dialect.close_codes());
        if let Some(codes) = &codes {
            codes.assert_sendable();
        }
        self.with_rules(|rules| rules.dialect = Some(Arc::new(dialect)))
            .with(|settings| {
                settings.pending = pending;
                settings.dialect_codes = codes;
            })
    }

    /// Sets how many sockets may be pending, in all and per address; see [`PendingLimits`].
    pub fn pending_limits(self, limits: PendingLimits) -> Self {
        let pending = PendingSockets::new(limits);
        self.with_rules(|rules| rules.pending = Arc::new(pending))
    }

    /// Answers a refused upgrade by opening the socket and closing it at once, with the close code
    /// of the profile or dialect.
    ///
    /// A script in a browser cannot read the status of a refused handshake: it sees code 1006 for
    /// "wrong token" and for "no network" alike. With this it sees 3000 or 4401.
    ///
    /// Nothing reaches the handler, and nothing is read but the client's answer to the close. An
    /// upgrade that is no proper one, or that comes from a foreign origin, is refused with its
    /// status all the same; so is everybody while 1,024 such sockets wait for that answer.
    /// [`GuardedUpgrade`](crate::GuardedUpgrade) tells in the same way that there is no room for
    /// another session; a handler that opens its socket with another crate sees to that itself.
    pub fn refuse_in_band(self) -> Self {
        self.with(|settings| settings.in_band = true)
    }

    /// Answers refusals with `responder`, a [`Respond`](crate::refusal::Respond) such as a closure.
    pub fn respond<Q>(self, responder: Q) -> AuthLayer<V, Q> {
        AuthLayer {
            gate: Gate {
                rules: self.gate.rules,
                responder,
            },
        }
    }

    fn with_sessions(self, sessions: &Sessions) -> Self {
        self.with_rules(|rules| rules.sessions = sessions.clone())
            .with(|settings| settings.revocations = sessions.revocations())
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        self.with_rules(|rules| change(Arc::make_mut(&mut rules.settings)))
    }

    fn with_rules(mut self, change: impl FnOnce(&mut Rules<V>)) -> Self {
        change(Rules::to_be_changed(&mut self.gate.rules));
        self
    }
}

impl<S, V: Verify, R: Clone> Layer<S> for AuthLayer<V, R> {
    type Service = Auth<S, V, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth::new(inner, self.gate.clone())
    }
}

impl<V: Verify, R: Clone> Clone for AuthLayer<V, R> {
    fn clone(&self) -> Self {
        Self {
            gate: self.gate.clone(),
        }
    }
}

impl<V: Verify, R> fmt::Debug for AuthLayer<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer")
            .field("gate", &self.gate)
            .finish()
    }
}
