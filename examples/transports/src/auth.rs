use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use example_support::TicketBackend;
use http::{HeaderValue, Method, header};
use portcullis::carrier::{AuthorizationCarrier, CookieCarrier};
use portcullis::verify::BoxVerifier;
use portcullis::{
    AuthLayer, Identity, Profile, Sessions, StaticTokens, Tickets, Verify, VerifyExt, any_of,
};
use portcullis_redis::{Redis, RedisRevocations};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::options::Options;

/// The routes that accept tickets.
const TICKET_PATHS: [&str; 2] = ["/ws/ticket", "/ws/first-message"];

/// How long the server waits at startup for the revocations in Redis.
const SYNC_TIMEOUT: Duration = Duration::from_secs(5);

/// Sessions with a shorter lifetime get no warning before they expire.
const MIN_LIFETIME_FOR_WARNING: Duration = Duration::from_secs(60);

/// An auth layer that can have any verifier.
type Layer = AuthLayer<BoxVerifier>;

/// The verifiers and the sessions that all routes share.
pub(crate) struct Auth {
    tokens: Arc<StaticTokens>,
    tickets: Arc<Tickets<TicketBackend>>,
    sessions: Sessions,
    token_lifetime: Option<Duration>,
    allowed_origins: Vec<String>,
}

impl Auth {
    pub(crate) fn new(options: &Options) -> Result<Self, Box<dyn Error>> {
        let redis = options.redis.as_deref().map(Redis::open).transpose();
        let redis = redis.map_err(|error| format!("--redis: {error}"))?;
        let token_lifetime = options.token_lifetime.map(Duration::from_secs);

        let mut sessions = Sessions::builder();
        if let Some(redis) = &redis {
            let (lag, policy) = options.revocation_lag();
            sessions = sessions
                .revocations(RedisRevocations::new(redis))
                .revocation_lag(lag, policy);
        }
        if let Some(seconds) = options.ping_every {
            sessions = sessions.ping_every(Duration::from_secs(seconds));
        }
        if let Some(lifetime) = token_lifetime.filter(|it| *it >= MIN_LIFETIME_FOR_WARNING) {
            sessions = sessions.warn_before(lifetime / 10);
        }

        let ticket_store = TicketBackend::new(redis.as_ref());
        Ok(Self {
            tokens: Arc::new(StaticTokens::new(&options.users)?),
            tickets: Arc::new(Tickets::new(ticket_store, TICKET_PATHS)),
            sessions: sessions.build(),
            token_lifetime,
            allowed_origins: options.allowed_origins.clone(),
        })
    }

    /// Waits until the revocations that were made before this server started are loaded.
    pub(crate) async fn synchronized(&self) -> Result<(), Box<dyn Error>> {
        tokio::time::timeout(SYNC_TIMEOUT, self.sessions.synchronized())
            .await
            .map_err(|_| "--redis: timed out while loading revocations".into())
    }

    /// Returns a layer that accepts tokens.
    pub(crate) fn token_layer(&self, profile: Profile) -> Result<Layer, Box<dyn Error>> {
        self.layer(Arc::clone(&self.tokens), profile)
    }

    /// Returns a layer that accepts tickets.
    pub(crate) fn ticket_layer(&self, profile: Profile) -> Result<Layer, Box<dyn Error>> {
        self.layer(Arc::clone(&self.tickets), profile)
    }

    /// Returns a layer that accepts tokens and tickets.
    pub(crate) fn token_or_ticket_layer(&self, profile: Profile) -> Result<Layer, Box<dyn Error>> {
        let verifier = any_of((Arc::clone(&self.tokens), Arc::clone(&self.tickets)));
        self.layer(verifier, profile)
    }

    pub(crate) fn tickets(&self) -> &Arc<Tickets<TicketBackend>> {
        &self.tickets
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Returns a layer that lets pages of the allowed origins call the API.
    ///
    /// Add it outside the auth layer: a preflight request contains no credential.
    pub(crate) fn cors_layer(&self) -> Result<CorsLayer, Box<dyn Error>> {
        let origins = self.allowed_origins.iter().map(|origin| origin.parse());
        let origins: Vec<HeaderValue> = origins.collect::<Result<_, _>>()?;
        Ok(CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .allow_credentials(true))
    }

    /// The list of hosts protects a server on a loopback address against DNS rebinding.
    fn layer(&self, verifier: impl Verify, profile: Profile) -> Result<Layer, Box<dyn Error>> {
        let verifier = verifier.map(expire_after(self.token_lifetime)).boxed();
        let layer = AuthLayer::new(verifier)
            .profile(profile)
            .sessions(&self.sessions)
            .hosts(["localhost", "127.0.0.1", "[::1]"])?
            .allow_origins(self.allowed_origins.iter().map(String::as_str))?;
        Ok(layer)
    }
}

/// Returns the profile of the HTTP API, which accepts the header and the cookie.
///
/// It does not accept a token in the URL, because servers and proxies log URLs.
pub(crate) fn api_profile() -> Profile {
    Profile::new("api")
        .carrier(AuthorizationCarrier::jupyter().and_basic())
        .carrier(CookieCarrier::named("token"))
}

/// Sets the expiry of an identity to `lifetime` after its verification, as if each token had just
/// been issued.
fn expire_after(
    lifetime: Option<Duration>,
) -> impl Fn(Identity) -> Identity + Copy + Send + Sync + 'static {
    move |identity| match lifetime.and_then(|lifetime| SystemTime::now().checked_add(lifetime)) {
        Some(expiry) => identity.to_builder().expires_at(expiry).build(),
        None => identity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_starts_at_verification() {
        let lifetime = Duration::from_secs(60);
        let before = SystemTime::now();
        let expiry = expire_after(Some(lifetime))(Identity::new("alice")).expires_at();
        assert!((before + lifetime..=SystemTime::now() + lifetime).contains(&expiry.unwrap()));
    }

    #[test]
    fn identity_without_a_finite_lifetime_does_not_expire() {
        for lifetime in [None, Some(Duration::MAX)] {
            let identity = expire_after(lifetime)(Identity::new("alice"));
            assert_eq!(identity.expires_at(), None);
        }
    }
}
