use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use example_support::TicketBackend as Shelf;
use http::{HeaderValue, Method, header};
use portcullis::carrier::{Authorization, Cookie};
use portcullis::session::SessionsBuilder;
use portcullis::{
    AuthLayer, Identity, InvalidOrigin, Profile, Sessions, StaticToken, StaticTokens, Tickets,
    Verify, VerifyExt, any_of,
};
use portcullis_redis::{Redis, RedisRevocations};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::options::Options;

/// Who may come in, and what becomes of them: the verifiers of all routes, and their one set of
/// sessions.
pub(crate) struct Auth {
    tokens: Arc<StaticTokens>,
    tickets: Arc<Tickets<(), Shelf>>,
    sessions: Sessions,
    token_lifetime: Option<Duration>,
    allowed_origins: Vec<String>,
}

impl Auth {
    pub(crate) fn new(options: &Options) -> Result<Self, Box<dyn Error>> {
        let tokens = options.users.iter().map(|user| {
            Ok(StaticToken::new(user.name.as_str(), user.token.as_str())?
                .scopes(user.scopes.iter().map(String::as_str)))
        });
        let tokens: Vec<_> = tokens.collect::<Result<_, Box<dyn Error>>>()?;
        let token_lifetime = options.token_lifetime.map(Duration::from_secs);
        let redis = options.redis.as_deref().map(Redis::open).transpose();
        let redis = redis.map_err(|error| format!("--redis: {error}"))?;

        let shelf = Shelf::new(redis.as_ref());
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
        Ok(Self {
            tokens: Arc::new(StaticTokens::new(tokens)?),
            tickets: Arc::new(Tickets::new(shelf, TICKET_PATHS)),
            sessions: warning(sessions, token_lifetime).build(),
            token_lifetime,
            allowed_origins: options.allowed_origins.clone(),
        })
    }

    /// Waits until it is known what was revoked before this server started.
    pub(crate) async fn ready(&self) -> Result<(), Box<dyn Error>> {
        tokio::time::timeout(PATIENCE, self.sessions.synchronized())
            .await
            .map_err(|_| "Redis does not answer".into())
    }

    /// Admits by a token.
    pub(crate) fn by_token(
        &self,
        profile: Profile,
    ) -> Result<AuthLayer<impl Verify<Claims = ()> + use<>>, InvalidOrigin> {
        self.by(Arc::clone(&self.tokens), profile)
    }

    /// Admits by a ticket.
    pub(crate) fn by_ticket(
        &self,
        profile: Profile,
    ) -> Result<AuthLayer<impl Verify<Claims = ()> + use<>>, InvalidOrigin> {
        self.by(Arc::clone(&self.tickets), profile)
    }

    /// Admits by a token or by a ticket.
    pub(crate) fn by_token_or_ticket(
        &self,
        profile: Profile,
    ) -> Result<AuthLayer<impl Verify<Claims = ()> + use<>>, InvalidOrigin> {
        let either = any_of((Arc::clone(&self.tokens), Arc::clone(&self.tickets)));
        self.by(either, profile)
    }

    pub(crate) fn tickets(&self) -> &Arc<Tickets<(), Shelf>> {
        &self.tickets
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Lets pages of the allowed origins call the API. It belongs outside of admission: a preflight
    /// bears no credential.
    pub(crate) fn cors(&self) -> Result<CorsLayer, Box<dyn Error>> {
        let origins = self.allowed_origins.iter().map(|origin| origin.parse());
        let origins: Vec<HeaderValue> = origins.collect::<Result<_, _>>()?;
        Ok(CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .allow_credentials(true))
    }

    /// A server on a loopback address answers for its own names alone.
    fn by<V: Verify<Claims = ()>>(
        &self,
        verifier: V,
        profile: Profile,
    ) -> Result<AuthLayer<impl Verify<Claims = ()> + use<V>>, InvalidOrigin> {
        AuthLayer::new(verifier.map(ending_after(self.token_lifetime)))
            .profile(profile)
            .hosts(["localhost", "127.0.0.1", "[::1]"])
            .sessions(&self.sessions)
            .origins(self.allowed_origins.iter().map(String::as_str))
    }
}

/// What an API reads: the header, and the cookie of a page that may. Not the address, which logs
/// keep.
pub(crate) fn api_way() -> Profile {
    Profile::new("api")
        .carrier(Authorization::jupyter().and_basic())
        .carrier(Cookie::named("token"))
}

/// Gives whoever is admitted so much time from now on, as if every token had just been issued.
fn ending_after(
    lifetime: Option<Duration>,
) -> impl Fn(Identity) -> Identity + Copy + Send + Sync + 'static {
    move |identity| match lifetime.and_then(|lifetime| SystemTime::now().checked_add(lifetime)) {
        Some(end) => identity.to_builder().expires_at(end).build(),
        None => identity,
    }
}

/// A tenth of a lifetime is time enough to renew, unless it is so short that nobody could use it.
fn warning(sessions: SessionsBuilder, lifetime: Option<Duration>) -> SessionsBuilder {
    match lifetime {
        Some(lifetime) if lifetime >= Duration::from_secs(60) => {
            sessions.warn_before(lifetime / 10)
        }
        _ => sessions,
    }
}

const TICKET_PATHS: [&str; 2] = ["/ws/ticket", "/ws/first-message"];

/// How long to wait for the store at start.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_begins_with_the_admission() {
        let lifetime = Duration::from_secs(60);
        let before = SystemTime::now();
        let end = ending_after(Some(lifetime))(Identity::new("alice")).expires_at();
        assert!((before + lifetime..=SystemTime::now() + lifetime).contains(&end.unwrap()));

        let forever = [None, Some(Duration::MAX)];
        for lifetime in forever {
            assert_eq!(
                ending_after(lifetime)(Identity::new("alice")).expires_at(),
                None
            );
        }
    }
}
