use std::borrow::Cow;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_core::{Clock, Identity, Verify};
use tower_layer::Layer;
use tower_service::Service;

use super::api_response::ApiResponse;
use super::confirmation::Confirmation;
use super::cookie_update::CookieUpdate;
use super::link::Link;
use super::login::Login;
use super::settings::Settings;
use super::{BoxFuture, LinkPolicy};
use crate::admission::{AllowedHost, AuthLayer, ParseHostError};
use crate::carrier::{CarrierConfig, QueryCarrier};
use crate::seal::{SealedCookie, SetCookies};
#[cfg(feature = "axum")]
use crate::trace::Redacted;
use crate::upgrade::is_upgrade;

/// Logs a browser in that opens a link with `?token=`. See the [module docs](super).
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
/// Wrap the whole router, as above. Inside of a nested router, or behind a proxy that removes a
/// prefix from the path, the layer would redirect to a URL without that prefix. Inside of
/// [`AuthLayer`] it would not see the token. The layer logs an error if it is inside of a nested
/// router or of `AuthLayer`.
///
/// # Defaults
///
/// The parameter `token`, [`LinkPolicy::AskIfForeign`], no cookie on API responses, all hosts, and
/// ten seconds for the verifier.
///
/// # Security
///
/// Anyone can open a link, so a user that opens an attacker's link is logged in as the attacker,
/// and may type secrets into the attacker's account (login CSRF). Therefore:
///
/// * The cookie is set when a page is opened, never for a resource that a page loads.
/// * It replaces the cookie of another user only after a click.
/// * A link on a page of another site asks first.
///
/// `Sec-Fetch-Site` tells the layer which page a link was on. Browsers do not send this header over
/// plain HTTP, except to `localhost`, so no link needs a confirmation there. Use
/// [`LinkPolicy::AskAlways`] to require one.
///
/// The URL with the token is in the browser's history and in the logs of proxies. Use short-lived
/// tokens in links.
#[must_use = "a layer has no effect until it wraps a router"]
pub struct PersistTokenLayer<V> {
    login: Login<V>,
}

impl<V: Verify> PersistTokenLayer<V> {
    /// Creates a layer that sets `cookie` for the tokens that `verifier` accepts.
    ///
    /// The [`AuthLayer`] inside must use the same verifier, so share it in an `Arc`. Prefer
    /// [`for_auth`](Self::for_auth), which does so.
    pub fn new(verifier: V, cookie: SealedCookie) -> Self {
        Self::for_auth(&AuthLayer::new(verifier), cookie)
    }

    /// Creates a layer with the settings of `auth`.
    ///
    /// It copies the verifier, the [`hosts`](AuthLayer::hosts), [`https`](AuthLayer::https), the
    /// [`verify_timeout`](AuthLayer::verify_timeout), the clock, and the query parameter that the
    /// profile reads. Later changes to `auth` are not copied.
    pub fn for_auth<R>(auth: &AuthLayer<V, R>, cookie: SealedCookie) -> Self {
        let config = auth.config();
        let mut carriers = config.profile.carriers().iter();
        let parameter = carriers.find_map(|carrier| match carrier {
            CarrierConfig::Query(query) => Some(query.clone()),
            _ => None,
        });
        Self {
            login: Login {
                verifier: auth.verifier().clone(),
                settings: Arc::new(Settings {
                    cookie,
                    parameter: parameter.unwrap_or(QueryCarrier::named("token")),
                    policy: LinkPolicy::default(),
                    on_api_responses: false,
                    hosts: config.hosts.clone(),
                    origins: config.origins.of_own_pages(),
                }),
            },
        }
    }
}

impl<V> PersistTokenLayer<V> {
    /// Sets the query parameter that contains the token; `token` by default.
    ///
    /// The profile of the [`AuthLayer`] inside has to read the same parameter.
    pub fn parameter(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.with(|settings| settings.parameter = QueryCarrier::named(name))
    }

    /// Sets when a link needs a confirmation; [`LinkPolicy::AskIfForeign`] by default.
    pub fn link_policy(self, policy: LinkPolicy) -> Self {
        self.with(|settings| settings.policy = policy)
    }

    /// Sets the cookie in the response to an API call, too, if the call has a valid token in its
    /// `Authorization` header and succeeds.
    ///
    /// Some pages send the token in API calls only, and open their sockets with the cookies of the
    /// browser. JupyterLab with `appendToken: false` is one of them.
    ///
    /// # Security
    ///
    /// A page that sends a token in one call leaves a login in the browser. Therefore only calls of
    /// pages of this server count: `Sec-Fetch-Site` is `same-origin` or absent, and `Origin` is the
    /// server's own or absent. The cookie of another user stays. A token in the query sets no
    /// cookie here, because any page can load `<img src="/api?token=…">`.
    pub fn set_cookie_on_api_responses(self) -> Self {
        self.with(|settings| settings.on_api_responses = true)
    }

    /// Restricts the layer to requests for these hosts; all hosts by default.
    ///
    /// A host without a port matches every port. Like [`AuthLayer::hosts`], this prevents DNS
    /// rebinding: a page under a name that resolves to this server gets no cookie. Other requests
    /// pass, and admission refuses them. [`for_auth`](Self::for_auth) copies the list.
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

    /// Declares that browsers reach the server over TLS, so that its own origin is `https://…`.
    ///
    /// See [`AuthLayer::https`]. It matters only for browsers that do not send `Sec-Fetch-Site`.
    pub fn https(self) -> Self {
        self.https_if(true)
    }

    /// Calls [`https`](Self::https) if `condition` is `true`.
    pub fn https_if(self, condition: bool) -> Self {
        self.with(|settings| settings.origins.https = condition)
    }

    /// Sets the time limit for the verifier, and for a form to arrive; ten seconds by default.
    pub fn verify_timeout(mut self, limit: Duration) -> Self {
        self.login.verifier.verify_timeout = limit;
        self
    }

    /// Sets the clock; the system clock by default.
    ///
    /// The [cookie](SealedCookie::clock) has its own clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.login.verifier.clock = Arc::new(clock);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.login.settings));
        self
    }
}

impl<S, V> Layer<S> for PersistTokenLayer<V> {
    type Service = PersistToken<S, V>;

    fn layer(&self, inner: S) -> Self::Service {
        PersistToken {
            inner,
            login: self.login.clone(),
        }
    }
}

impl<V> Clone for PersistTokenLayer<V> {
    fn clone(&self) -> Self {
        Self {
            login: self.login.clone(),
        }
    }
}

impl<V> fmt::Debug for PersistTokenLayer<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistTokenLayer")
            .field("settings", &self.login.settings)
            .finish_non_exhaustive()
    }
}

/// The service that [`PersistTokenLayer`] makes. See the [module docs](super).
pub struct PersistToken<S, V> {
    inner: S,
    login: Login<V>,
}

impl<S, V, B, ResBody> Service<Request<B>> for PersistToken<S, V>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    V: Verify,
    B: Body + Send + 'static,
    ResBody: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settings = &self.login.settings;
        if is_upgrade(&request) || !settings.serves_host(&request) {
            return self.pass(request, Update::None);
        }
        report_wrong_place(&request);
        if Confirmation::is(&request, settings) {
            let confirmation = Confirmation::of(request, settings);
            let login = self.login.clone();
            return self
                .decide(async move { Decision::Respond(login.confirm(confirmation).await) });
        }

        let update = Update::of(&request, &self.login);
        match Link::of(&request, settings) {
            Some(link) => {
                let login = self.login.clone();
                self.decide(async move {
                    match login.follow(&link).await {
                        Some(response) => Decision::Respond(response),
                        None => Decision::Pass(request, update),
                    }
                })
            }
            None => self.pass(request, update),
        }
    }
}

impl<S, V> PersistToken<S, V> {
    fn pass<B>(&mut self, request: Request<B>, update: Update) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        let future = self.inner.call(request);
        ResponseFuture {
            state: State::Passing { future, update },
        }
    }

    fn decide<B>(
        &mut self,
        decision: impl Future<Output = Decision<B>> + Send + 'static,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>> + Clone,
    {
        // The future takes the service that is ready, and leaves a clone.
        let clone = self.inner.clone();
        ResponseFuture {
            state: State::Deciding {
                decision: Box::pin(decision),
                inner: mem::replace(&mut self.inner, clone),
            },
        }
    }
}

impl<S: Clone, V> Clone for PersistToken<S, V> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            login: self.login.clone(),
        }
    }
}

impl<S: fmt::Debug, V> fmt::Debug for PersistToken<S, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistToken")
            .field("inner", &self.inner)
            .field("settings", &self.login.settings)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`PersistToken`]. See the [module docs](super).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    // Opening a link and submitting a form are rare, so only they are boxed.
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Deciding {
            decision: BoxFuture<Decision<B>>,
            inner: S,
        },
        Passing {
            #[pin]
            future: S::Future,
            update: Update,
        },
        LoggingIn {
            cookies: BoxFuture<Option<SetCookies>>,
            response: Option<S::Response>,
        },
    }
}

/// What to do with a link or a submitted form.
enum Decision<B> {
    Pass(Request<B>, Update),
    Respond(Response<Bytes>),
}

/// The change of the cookie once the inner service has responded.
enum Update {
    ApiResponse(Box<ApiResponse>),
    None,
    Page(Box<CookieUpdate>),
}

impl Update {
    fn of<B>(request: &Request<B>, login: &Login<impl Verify>) -> Self {
        if let Some(response) = ApiResponse::of(request, login) {
            return Self::ApiResponse(Box::new(response));
        }
        match CookieUpdate::of(request, &login.settings) {
            Some(update) => Self::Page(Box::new(update)),
            None => Self::None,
        }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: From<Bytes>,
{
    type Output = Result<Response<ResBody>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project().state.project() {
                StateProjection::Deciding { decision, inner } => {
                    match ready!(decision.as_mut().poll(context)) {
                        Decision::Respond(response) => {
                            return Poll::Ready(Ok(response.map(ResBody::from)));
                        }
                        Decision::Pass(request, update) => State::Passing {
                            future: inner.call(request),
                            update,
                        },
                    }
                }
                StateProjection::Passing { future, update } => {
                    let response = ready!(future.poll(context))?;
                    match mem::replace(update, Update::None) {
                        Update::ApiResponse(api) if api.may_log_in(&response) => State::LoggingIn {
                            cookies: api.into_cookies(),
                            response: Some(response),
                        },
                        Update::Page(update) => {
                            let cookies = update.cookies(&response);
                            return Poll::Ready(Ok(with_cookies(response, cookies)));
                        }
                        Update::ApiResponse(_) | Update::None => return Poll::Ready(Ok(response)),
                    }
                }
                StateProjection::LoggingIn { cookies, response } => {
                    let cookies = ready!(cookies.as_mut().poll(context));
                    let response = response
                        .take()
                        .expect("`ResponseFuture` polled after completion");
                    return Poll::Ready(Ok(with_cookies(response, cookies)));
                }
            };
            self.as_mut().project().state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

fn with_cookies<B>(mut response: Response<B>, cookies: Option<SetCookies>) -> Response<B> {
    if let Some(cookies) = cookies {
        cookies.append_to(response.headers_mut());
    }
    response
}

/// Logs an error, once, if the layer is inside of `AuthLayer` or of a nested router.
fn report_wrong_place<B>(request: &Request<B>) {
    static INSIDE_AUTH: Once = Once::new();

    if request.extensions().get::<Identity>().is_some() {
        INSIDE_AUTH.call_once(|| {
            tracing::error!(
                target: "portcullis",
                "PersistTokenLayer is inside of AuthLayer, which removes the token before: links \
                 set no cookie. Wrap the whole router: `let app = persist_token_layer.layer(app);`"
            );
        });
    }
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions().get::<axum::extract::OriginalUri>()
        && original.0.path() != request.uri().path()
    {
        static INSIDE_NESTED_ROUTER: Once = Once::new();

        INSIDE_NESTED_ROUTER.call_once(|| {
            let (original, nested) = (Redacted(&original.0), Redacted(request.uri()));
            tracing::error!(
                target: "portcullis",
                "PersistTokenLayer is inside of a nested router: a link to {original} redirects to \
                 {nested}. Wrap the whole router: `let app = persist_token_layer.layer(app);`"
            );
        });
    }
}
