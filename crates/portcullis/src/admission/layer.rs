//! [`AuthLayer`] and its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, SystemClock, Verify};
use tower_layer::Layer;

use super::diagnostics::Diagnostics;
use super::grant::Grants;
use super::host::HostPolicy;
use super::origin::OriginPolicy;
use super::verify::LimitedVerifier;
use super::{AllowedHost, AllowedOrigin, Auth, ParseHostError, ParseOriginError};
use crate::close::CloseCodes;
#[cfg(feature = "dialects")]
use crate::dialect::{Dialect, PendingLimits, PendingSockets};
use crate::profile::Profile;
use crate::refusal::Problem;
use crate::session::{SessionContext, Sessions};

/// Admits requests with a valid credential.
///
/// The layer reads the credential from the carriers of its [profile](Self::profile), removes it
/// from the request and asks the verifier which identity it belongs to. The handler gets the
/// [`Identity`](crate::Identity); a request without a valid credential gets a
/// [refusal](crate::refusal), and the inner service is not called.
///
/// It treats pages, API calls and WebSockets alike, so one layer protects all routes of a router.
/// Add it with `route_layer`, so that an unknown path stays a 404: with `layer` it also covers the
/// fallback, and an unknown path becomes a 401.
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
///             tracing::info!("{} sent {message:?}", identity.subject());
///         }
///     })
/// }
/// # Ok::<_, portcullis::verify::StaticTokenError>(())
/// ```
///
/// Route a WebSocket with `any(handler)`: over HTTP/2 its method is `CONNECT`.
///
/// # Defaults
///
/// [`Profile::default`], no anonymous requests, ten seconds for the verifier. Cookies and other
/// ambient credentials need an `Origin` that is the server's own, with the scheme `http`. If
/// browsers use HTTPS, call [`https`](Self::https); to allow other origins, call
/// [`allow_origins`](Self::allow_origins).
///
/// # Order
///
/// Put these layers around this one, outermost first:
/// [`PersistTokenLayer`](crate::PersistTokenLayer), sensitive headers, tracing, and CORS, which
/// answers preflight requests. Put [`RequireScopeLayer`](crate::RequireScopeLayer) inside of this
/// layer. A request must not pass a second `AuthLayer`, because the first one removes the
/// credential.
///
/// # Security
///
/// A layer *outside* of this one cannot undo an admission: hyper hands the socket to a handler that
/// asked for it, even if an outer layer turns its 101 into a 403.
#[must_use = "a layer has no effect until it is added to a route"]
pub struct AuthLayer<V, R = Problem> {
    // axum calls `Layer::layer` for each request to an `any` route, so the setters build the
    // shared part, and `layer` clones a pointer.
    admission: Arc<Admission<V>>,
    responder: R,
}

/// The state that a layer shares with its services.
pub(crate) struct Admission<V> {
    pub(super) config: Config,
    pub(super) verifier: Arc<LimitedVerifier<V>>,
    pub(super) grants: Grants,
    pub(super) diagnostics: Diagnostics,
}

/// The settings of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) profile: Profile,
    pub(crate) hosts: HostPolicy,
    pub(crate) origins: OriginPolicy,
    verify_timeout: Duration,
    clock: Arc<dyn Clock>,
    /// The sessions that the application has a handle to, if any.
    sessions: Option<Sessions>,
    default_sessions: Sessions,
    #[cfg(feature = "dialects")]
    dialect: Option<Arc<dyn Dialect>>,
    #[cfg(feature = "dialects")]
    pending: Arc<PendingSockets>,
    /// The close codes of the dialect, if it defines any.
    #[cfg(feature = "dialects")]
    dialect_codes: Option<CloseCodes>,
    /// Whether requests without a credential are admitted.
    pub(super) anonymous: bool,
    /// Whether refused upgrades are accepted and closed at once.
    pub(super) in_band: bool,
}

impl Config {
    fn new() -> Self {
        Self {
            profile: Profile::default(),
            hosts: HostPolicy::default(),
            origins: OriginPolicy::default(),
            verify_timeout: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
            sessions: None,
            default_sessions: Sessions::default(),
            #[cfg(feature = "dialects")]
            dialect: None,
            #[cfg(feature = "dialects")]
            pending: Arc::default(),
            #[cfg(feature = "dialects")]
            dialect_codes: None,
            anonymous: false,
            in_band: false,
        }
    }

    pub(super) fn codes(&self) -> CloseCodes {
        #[cfg(feature = "dialects")]
        if let Some(codes) = self.dialect_codes {
            return codes;
        }
        self.profile.codes()
    }
}

impl<V: Verify> Admission<V> {
    fn new(verifier: Arc<V>, config: Config) -> Self {
        let sessions = config.sessions.as_ref().unwrap_or(&config.default_sessions);
        let verifier = Arc::new(LimitedVerifier {
            verifier,
            verify_timeout: config.verify_timeout,
            clock: Arc::clone(&config.clock),
            revocations: sessions.revocations(),
        });
        let context = Arc::new(SessionContext {
            sessions: sessions.clone(),
            codes: config.codes(),
            verifier: Arc::clone(&verifier) as _,
        });
        let grants = Grants::new(
            context,
            #[cfg(feature = "dialects")]
            config.dialect.clone(),
            #[cfg(feature = "dialects")]
            Arc::clone(&config.pending),
        );
        Self {
            config,
            verifier,
            grants,
            diagnostics: Diagnostics::new(),
        }
    }
}

impl<V: Verify> AuthLayer<V> {
    /// Creates a layer that admits the credentials which `verifier` accepts.
    pub fn new(verifier: V) -> Self {
        Self {
            admission: Arc::new(Admission::new(Arc::new(verifier), Config::new())),
            responder: Problem,
        }
    }
}

impl<V: Verify, R> AuthLayer<V, R> {
    /// Sets the profile: which carriers are read, and how refusals are answered.
    /// [`Profile::default`] by default.
    pub fn profile(self, profile: Profile) -> Self {
        self.with(|config| config.profile = profile)
    }

    /// Allows pages of these origins to use an ambient credential, in addition to pages of the
    /// server's own origin.
    ///
    /// ```
    /// # use portcullis::{AuthLayer, StaticTokens};
    /// # let tokens = StaticTokens::new([("alice", "s3cret")]).unwrap();
    /// let origins = ["https://app.example.com", "https://*.example.org"];
    /// let auth = AuthLayer::new(tokens).allow_origins(origins)?;
    /// # Ok::<_, portcullis::admission::ParseOriginError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is not an origin; see [`AllowedOrigin`].
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
        Ok(self.with(|config| config.origins.allowed.extend(origins)))
    }

    /// Declares that browsers use HTTPS, so that the server's own origin is `https://…`.
    ///
    /// It is necessary behind a proxy that terminates TLS, because no header of the request can be
    /// trusted to say so.
    pub fn https(self) -> Self {
        self.https_if(true)
    }

    /// Calls [`https`](Self::https) if `condition` is `true`, for a server that uses HTTPS in
    /// production but not in development.
    ///
    /// ```
    /// # use portcullis::{AuthLayer, StaticTokens};
    /// # let tokens = StaticTokens::new([("alice", "s3cret")])?;
    /// let auth = AuthLayer::new(tokens).https_if(std::env::var_os("PRODUCTION").is_some());
    /// # Ok::<_, portcullis::verify::StaticTokenError>(())
    /// ```
    pub fn https_if(self, condition: bool) -> Self {
        self.with(|config| config.origins.https = condition)
    }

    /// Checks the `Origin` of every upgrade, even of one with a token. By default it is checked
    /// only with an ambient credential.
    pub fn check_origin_always(self) -> Self {
        self.with(|config| config.origins.always = true)
    }

    /// Admits an upgrade with an ambient credential even if it has no `Origin`, for clients with
    /// cookies that are not browsers.
    ///
    /// Every browser sends an `Origin` when it opens a WebSocket.
    pub fn allow_absent_origin(self) -> Self {
        self.with(|config| config.origins.allow_absent = true)
    }

    /// Allows pages of any origin to use an ambient credential.
    ///
    /// # Security
    ///
    /// Every page that a logged-in user visits can open a socket in the user's name, and read and
    /// write messages: cross-site WebSocket hijacking. `SameSite` does not prevent it, because
    /// another port of the host is the same site.
    pub fn insecure_any_origin(self) -> Self {
        tracing::warn!(
            target: "portcullis",
            "insecure_any_origin: every web page can use the cookies of its visitors"
        );
        self.with(|config| config.origins.any = true)
    }

    /// Accepts requests for these hosts only, and refuses others with 421. All hosts by default.
    ///
    /// This prevents DNS rebinding, where a name such as `evil.example` resolves to 127.0.0.1: its
    /// pages then have the same origin as the server. A server on a loopback address should allow
    /// `localhost`, `127.0.0.1` and `[::1]`. A host without a port matches every port.
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
        Ok(self.with(|config| config.hosts.allowed = Some(hosts)))
    }

    /// Admits requests without a credential. They have no [`Identity`](portcullis_core::Identity),
    /// so handlers take `Option<Identity>`.
    ///
    /// An invalid credential is still refused.
    pub fn allow_anonymous(self) -> Self {
        self.with(|config| config.anonymous = true)
    }

    /// Sets how long the verifier may take before the request is refused with 503; ten seconds by
    /// default.
    pub fn verify_timeout(self, limit: Duration) -> Self {
        self.with(|config| config.verify_timeout = limit)
    }

    /// Sets the clock; the system clock by default.
    ///
    /// Sessions of a handle that is set with [`sessions`](Self::sessions) have their
    /// [own clock](crate::session::SessionsBuilder::clock).
    pub fn clock(self, clock: impl Clock) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(clock);
        self.with(|config| {
            config.default_sessions = Sessions::builder().clock(Arc::clone(&clock)).build();
            config.clock = clock;
        })
    }

    /// Opens the sockets of this layer as sessions of `sessions`, which can list, renew, revoke and
    /// close them. The layer also refuses credentials that were revoked with this handle.
    ///
    /// Without it the sockets are guarded with the defaults of [`Sessions::builder`].
    pub fn sessions(self, sessions: &Sessions) -> Self {
        self.with(|config| config.sessions = Some(sessions.clone()))
    }

    /// Accepts credentials in WebSocket messages, using `dialect`.
    ///
    /// An upgrade without a credential is then admitted as *pending*, and only
    /// [`GuardedUpgrade`](crate::GuardedUpgrade) can open it. An invalid credential in the
    /// handshake is still refused. See [`dialect`](crate::dialect).
    ///
    /// # Panics
    ///
    /// Panics if a close frame cannot contain one of the dialect's close codes; see
    /// [`CloseFrame::new`](crate::close::CloseFrame::new).
    #[cfg(feature = "dialects")]
    pub fn dialect(self, dialect: impl Dialect) -> Self {
        let codes = dialect.close_codes();
        if let Some(codes) = &codes {
            codes.assert_sendable();
        }
        self.with(|config| {
            config.dialect = Some(Arc::new(dialect));
            config.dialect_codes = codes;
        })
    }

    /// Sets how many sockets may be pending, in total and per address; see [`PendingLimits`].
    #[cfg(feature = "dialects")]
    pub fn pending_limits(self, limits: PendingLimits) -> Self {
        self.with(|config| config.pending = Arc::new(PendingSockets::new(limits)))
    }

    /// Answers a refused upgrade by opening the socket and closing it at once, with the close code
    /// of the profile or dialect.
    ///
    /// A script in a browser cannot read the status of a refused handshake: it sees the code 1006
    /// for an invalid token as well as for a lost connection. With this setting, it sees the close
    /// code, such as 3000 or 4401.
    ///
    /// The handler is not called, and the layer reads nothing but the client's answer to the close
    /// frame. These refusals still have a status: an invalid handshake, a foreign origin, a missing
    /// scope, and every refusal while 1,024 such sockets wait for that answer. A session limit is
    /// refused in band if the handler uses [`GuardedUpgrade`](crate::GuardedUpgrade).
    pub fn refuse_in_band(self) -> Self {
        self.with(|config| config.in_band = true)
    }

    fn with(self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.admission.config.clone();
        change(&mut config);
        let verifier = Arc::clone(&self.admission.verifier.verifier);
        Self {
            admission: Arc::new(Admission::new(verifier, config)),
            responder: self.responder,
        }
    }
}

impl<V, R> AuthLayer<V, R> {
    /// Sets the responder, which builds the responses to refused requests: a type that implements
    /// [`Respond`](crate::refusal::Respond), or a closure. [`Problem`] by default.
    pub fn respond<Q>(self, responder: Q) -> AuthLayer<V, Q> {
        AuthLayer {
            admission: self.admission,
            responder,
        }
    }
}

#[cfg(feature = "cookie")]
impl<V, R> AuthLayer<V, R> {
    pub(crate) fn config(&self) -> &Config {
        &self.admission.config
    }

    pub(crate) fn verifier(&self) -> &LimitedVerifier<V> {
        &self.admission.verifier
    }
}

impl<S, V, R: Clone> Layer<S> for AuthLayer<V, R> {
    type Service = Auth<S, V, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth::new(inner, Arc::clone(&self.admission), self.responder.clone())
    }
}

impl<V, R: Clone> Clone for AuthLayer<V, R> {
    fn clone(&self) -> Self {
        Self {
            admission: Arc::clone(&self.admission),
            responder: self.responder.clone(),
        }
    }
}

impl<V, R> fmt::Debug for AuthLayer<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer")
            .field("config", &self.admission.config)
            .finish_non_exhaustive()
    }
}

impl<V> fmt::Debug for Admission<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
