//! Authentication: which credentials the server accepts, and the layers that check them.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis::carrier::QueryCarrier;
use portcullis::seal::{CookieKey, CookieKeys, SealedCookie};
use portcullis::verify::{BoxVerifier, StaticToken};
use portcullis::{AuthLayer, Identity, PersistTokenLayer, StaticTokens, VerifyExt, any_of};

use crate::connections::Connections;
use crate::options::{Options, Profile};
use crate::refusal::{self, Responder};
use crate::share::ShareLinks;

pub(crate) struct Auth {
    /// Authenticates requests by header, query, subprotocol or cookie.
    pub(crate) layer: AuthLayer<BoxVerifier, Responder>,
    /// Turns a link with `?token=` into a cookie.
    pub(crate) links: PersistTokenLayer<BoxVerifier>,
    /// The cookie of a logged-in browser.
    pub(crate) cookie: SealedCookie,
}

impl Auth {
    /// Accepts `token` for the owner, the tokens of share links for guests, and tickets.
    pub(crate) fn new(
        options: &Options,
        token: &str,
        address: SocketAddr,
        connections: &Connections,
        share_links: &ShareLinks,
    ) -> Result<Self, Box<dyn Error>> {
        let owner = StaticToken::new("owner", token)?.scopes(["admin", "share"]);
        let tickets = Arc::clone(&connections.tickets);
        let lifetime = options.session_lifetime;
        let verifier = any_of((StaticTokens::new([owner])?, share_links.clone(), tickets))
            .map(move |identity| with_session_times(&identity, lifetime))
            .boxed();

        // Cookies ignore the port. With the port in its name, two servers on one host do not
        // overwrite each other's cookie.
        let name = format!("kernel-server-{}", address.port());
        let key = match &options.cookie_key_file {
            Some(file) => CookieKey::from_file(file)?,
            None => CookieKey::generate(),
        };
        let mut cookie = SealedCookie::new(name, CookieKeys::new(&key));
        if !address.ip().is_loopback() {
            cookie = cookie.insecure_over_plain_http();
        }

        let mut profile = portcullis::Profile::jupyter()
            .carrier(cookie.clone())
            .carrier(QueryCarrier::named("ticket"));
        if options.profile == Profile::Compat {
            profile = profile.compat();
        }
        let mut layer = AuthLayer::new(verifier)
            .profile(profile)
            .sessions(&connections.sessions)
            .allow_origins(options.origins()?)?
            .respond(refusal::respond as Responder);
        if address.ip().is_loopback() {
            layer = layer.hosts(["localhost", "127.0.0.1", "[::1]"])?;
        }
        let mut links = PersistTokenLayer::for_auth(&layer, cookie.clone());
        if options.profile == Profile::Compat {
            links = links.set_cookie_on_api_responses();
        }
        Ok(Self {
            layer,
            links,
            cookie,
        })
    }
}

/// Sets the issue time of `identity`, and limits its sessions to `lifetime`.
///
/// The server's own token has no issue time, so each admission counts as a new one. Revoking the
/// owner then closes the open sockets and does not lock the owner out until the next restart.
fn with_session_times(identity: &Identity, lifetime: Option<Duration>) -> Identity {
    let now = SystemTime::now();
    let lifetime_end = lifetime.and_then(|lifetime| now.checked_add(lifetime));
    let ends = [identity.session_ends_at(), lifetime_end];
    identity
        .to_builder()
        .issued_at(identity.issued_at().unwrap_or(now))
        .session_ends_at(ends.into_iter().flatten().min())
        .build()
}
