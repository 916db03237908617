use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, Verify};
use tower_layer::Layer;

use super::PersistToken;
use super::porter::{Porter, Settings};
use crate::admission::{AllowedHost, AuthLayer, ParseHostError};
use crate::carrier::{CarrierConfig, QueryCarrier};
use crate::seal::SealedCookie;

/// Turns a link with `?token=` into a logged-in browser. See the [module docs](super).
///
/// ```
/// use axum::{Router, response::Response, routing::any};
/// use portcullis::seal::{CookieKey, CookieKeys, SealedCookie};
/// use portcullis::{AuthLayer, GuardedUpgrade, PersistTokenLayer, Profile, StaticTokens};
/// use tower::Layer;
///
/// let cookie = SealedCookie::new("session", CookieKeys::new(&CookieKey::generate()));
/// let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?)
///     .profile(Profile::jupyter().carrier(cookie.clone()))
///     .hosts(["localhost", "127.0.0.1"])?;
/// let links = PersistTokenLayer::for_auth(&auth, cookie);
///
/// let app: Router = Router::new().route("/ws", any(ws)).route_layer(auth);
/// let app = links.layer(app);
///
/// async fn ws(upgrade: GuardedUpgrade) -> Response {
///     upgrade.on_upgrade(async |_| {})
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// It goes around the whole router. Inside of a nested one, or behind a proxy that takes a prefix
/// off the path, it would redirect to an address without that prefix.
///
/// # Defaults
///
/// The parameter `token`, [`LinkPolicy::AskIfForeign`], no cookie on API replies, all hosts, ten
/// seconds for a verifier.
///
/// # Security
///
/// A link that logs in is a link that logs *anybody* in: who opens a stranger's link works in the
/// stranger's account from then on, and types secrets into it (login CSRF). Therefore the cookie is
/// set when a page is opened, and never for what a page loads; it never replaces the cookie of
/// another subject without a click; and a link on a page of another site asks first. What says
/// where a link came from is `Sec-Fetch-Site`. Browsers leave it out over plain HTTP on other hosts
/// than `localhost`, and there every link passes; take [`LinkPolicy::AskAlways`] if that matters.
///
/// The address was in the history and in the logs of proxies before we saw it. Short-lived tokens
/// in links take the harm out of that.
#[must_use = "a layer does nothing before it is put around a router"]
pub struct PersistTokenLayer<V> {
    porter: Porter<V>,
}

impl<V: Verify> PersistTokenLayer<V> {
    /// A layer that sets `cookie` for tokens that `verifier` knows.
    ///
    /// It must be the verifier of the [`AuthLayer`] inside, so share it: `Arc<V>` is a verifier.
    /// [`for_auth`](Self::for_auth) does that for you.
    pub fn new(verifier: V, cookie: SealedCookie) -> Self {
        Self::for_auth(&AuthLayer::new(verifier), cookie)
    }

    /// A layer with the verifier of `auth`, its [hosts](AuthLayer::hosts), whether it is reached
    /// over [https](AuthLayer::https), its time limit, its clock, and the parameter that its
    /// profile reads.
    pub fn for_auth<R>(auth: &AuthLayer<V, R>, cookie: SealedCookie) -> Self {
        let (config, verifier) = (auth.config(), auth.verifier());
        let query = config
            .profile
            .carriers()
            .iter()
            .find_map(|reader| match reader {
                CarrierConfig::Query(query) => Some(query.clone()),
                _ => None,
            });
        Self {
            porter: Porter {
                verifier: Arc::clone(&verifier.verifier),
                settings: Arc::new(Settings {
                    cookie,
                    parameter: query.unwrap_or(QueryCarrier::named("token")),
                    policy: LinkPolicy::default(),
                    on_api_replies: false,
                    hosts: config.hosts.clone(),
                    origins: config.origins.of_own_pages(),
                    verify_timeout: verifier.verify_timeout,
                    clock: Arc::clone(&verifier.clock),
                    revocations: Arc::clone(&verifier.revocations),
                }),
            },
        }
    }
}

impl<V> PersistTokenLayer<V> {
    /// The query parameter that bears the token; `token` by default.
    ///
    /// The profile of the [`AuthLayer`] inside has to read the same one.
    pub fn parameter(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.with(|settings| settings.parameter = QueryCarrier::named(name))
    }

    /// When a link logs in without a question; [`LinkPolicy::AskIfForeign`] by default.
    pub fn link_policy(self, policy: LinkPolicy) -> Self {
        self.with(|settings| settings.policy = policy)
    }

    /// Sets the cookie on the reply to an API call as well, if a token in its `Authorization`
    /// header was accepted and the call was a success.
    ///
    /// Pages that send the token to the API only, and open their socket with what the browser has,
    /// rely on it: JupyterLab with `appendToken: false` does.
    ///
    /// # Security
    ///
    /// A page that was trusted with a token for one call leaves a login behind in the browser. So
    /// only calls from our own origin count: `Sec-Fetch-Site` is `same-origin` or absent, `Origin`
    /// is our own or absent. The cookie of another subject stays, and the token of a query sets
    /// none here: `<img src="/api?token=…">` is not a page's consent.
    pub fn set_cookie_on_api_responses(self) -> Self {
        self.with(|settings| settings.on_api_replies = true)
    }

    /// Does nothing for other hosts than these; a port does not count. All hosts by default.
    ///
    /// As [`AuthLayer::hosts`], and for the same reason: a page that was rebound to our address
    /// gets no cookie. [`for_auth`](Self::for_auth) takes over the list.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is not a host; see
    /// [`AllowedHost`](crate::admission::AllowedHost).
    pub fn hosts<H>(self, hosts: impl IntoIterator<Item = H>) -> Result<Self, ParseHostError>
    where
        H: TryInto<AllowedHost>,
        ParseHostError: From<H::Error>,
    {
        let hosts = hosts
            .into_iter()
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        Ok(self.with(|settings| settings.hosts.allowed = Some(hosts)))
    }

    /// Browsers reach the server over TLS, so its own origin is an `https` one.
    ///
    /// As [`AuthLayer::https`]. Browsers that send `Sec-Fetch-Site` need it not.
    pub fn https(self) -> Self {
        self.https_if(true)
    }

    /// Calls [`https`](Self::https) if `condition` is `true`.
    pub fn https_if(self, condition: bool) -> Self {
        self.with(|settings| settings.origins.https = condition)
    }

    /// How long a verifier may take, and a form may take to arrive; ten seconds by default.
    pub fn verify_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.verify_timeout = limit)
    }

    /// Takes the time from `clock` instead of the machine.
    ///
    /// The [cookie](SealedCookie::clock) has a clock of its own.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.porter.settings));
        self
    }
}

impl<S, V> Layer<S> for PersistTokenLayer<V> {
    type Service = PersistToken<S, V>;

    fn layer(&self, inner: S) -> Self::Service {
        PersistToken::new(inner, self.porter.clone())
    }
}

impl<V> Clone for PersistTokenLayer<V> {
    fn clone(&self) -> Self {
        Self {
            porter: self.porter.clone(),
        }
    }
}

impl<V> fmt::Debug for PersistTokenLayer<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistTokenLayer")
            .field("porter", &self.porter)
            .finish()
    }
}

/// When a link logs in without a question.
///
/// Whatever the policy, the cookie of another subject is never replaced without one.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LinkPolicy {
    /// Never: every link asks "Continue as alice?".
    AskAlways,

    /// If it was typed, opened from a mail or a bookmark, or stood on one of our own pages. A link
    /// on a page of another site asks, and so does one of another port or subdomain
    /// (`Sec-Fetch-Site: same-site`): that is not us either.
    #[default]
    AskIfForeign,

    /// Always, also on a page of another site.
    ///
    /// # Security
    ///
    /// Whoever has a token of his own can log your visitors in under his name, by a link or by
    /// a redirect that they do not notice (login CSRF). That is no harm where all tokens are one
    /// user's.
    TrustAnySite,
}

impl LinkPolicy {
    pub(super) fn asks(self, foreign: bool) -> bool {
        match self {
            Self::AskAlways => true,
            Self::AskIfForeign => foreign,
            Self::TrustAnySite => false,
        }
    }
}
