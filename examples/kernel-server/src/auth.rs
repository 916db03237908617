//! Who may come in. Everything about authentication is in here; `share` makes one of the tokens.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Response, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect};
use axum::routing::post;
use example_support::TicketBackend as Shelf;
use portcullis::carrier::Query;
use portcullis::persist::PersistToken;
use portcullis::seal::{CookieKey, CookieKeys, SealedCookie};
use portcullis::verify::{AnyOf, Map, VerifyExt};
use portcullis::{AuthLayer, PersistTokenLayer, RequireScopeLayer, any_of};
use portcullis::{Identity, Refusal, StaticToken, StaticTokens, Tickets};
use tower::Layer;

use crate::live::{self, Live};
use crate::options::{Options, Profile};
use crate::share::{self, ShareLinks};

/// The socket types that the rest of the server uses.
pub(crate) mod ws {
    pub(crate) use axum::extract::ws::{CloseFrame, Message, close_code};
    pub(crate) use portcullis::GuardedSocket as WebSocket;
    pub(crate) use portcullis::GuardedUpgrade as WebSocketUpgrade;
    pub(crate) use portcullis::GuardedUpgradeRejection as Rejection;
}

/// The server's own token, those of links that were shared, and tickets.
type Known = AnyOf<(StaticTokens, ShareLinks, Arc<Tickets<(), Shelf>>)>;

/// The same for one sitting.
type Verifier = Map<Known, Box<dyn Fn(Identity) -> Identity + Send + Sync>>;

/// The whole server, as a service.
pub(crate) type Server = PersistToken<Router, Verifier>;

/// What is open to whom.
pub(crate) struct Doors {
    /// Everybody.
    pub(crate) open: Router,
    /// Everybody but those with a bad credential.
    pub(crate) front: Router,
    /// Who was let in.
    pub(crate) guarded: Router,
}

/// Puts the guard in front of the doors.
pub(crate) fn guard(
    doors: Doors,
    live: &Live,
    options: &Options,
    token: &str,
    address: SocketAddr,
    around: impl FnOnce(Router) -> Router,
) -> Result<Server, Box<dyn Error>> {
    let owner = StaticToken::new("owner", token)?.scopes(["admin", "share"]);
    let shares = ShareLinks::default();
    let tickets = Arc::clone(&live.tickets);
    let known = any_of((StaticTokens::new([owner])?, shares.clone(), tickets));
    let verifier = known.map(sitting(options.session_lifetime));

    // Two servers on one machine have one jar: cookies know no ports.
    let key = match &options.cookie_key_file {
        Some(file) => CookieKey::from_file(file)?,
        None => CookieKey::generate(),
    };
    let name = format!("kernel-server-{}", address.port());
    let mut cookie = SealedCookie::new(name, CookieKeys::new(&key));
    if !address.ip().is_loopback() {
        cookie = cookie.insecure_over_plain_http();
    }

    let mut profile = portcullis::Profile::jupyter()
        .carrier(cookie.clone())
        .carrier(Query::named("ticket"));
    if options.profile == Profile::Compat {
        profile = profile.compat();
    }
    let mut auth = AuthLayer::new(verifier)
        .profile(profile)
        .sessions(&live.sessions)
        .respond(refuse);
    auth = auth.origins(options.origins()?)?;
    if address.ip().is_loopback() {
        auth = auth.hosts(["localhost", "127.0.0.1", "[::1]"]);
    }
    let mut links = PersistTokenLayer::beside(&auth, cookie.clone());
    if options.profile == Profile::Compat {
        links = links.also_on_api_replies();
    }

    let sharing = share::routes(&shares, live);
    let administration = live::administration(live, &shares);
    let account = Router::new()
        .route("/logout", post(log_out))
        .with_state(cookie)
        .merge(live::about(live))
        .merge(sharing.layer(RequireScopeLayer::all(["share"])))
        .merge(administration.layer(RequireScopeLayer::all(["admin"])));
    let guarded = doors.guarded.merge(account).route_layer(auth.clone());
    let front = doors.front.route_layer(auth.allow_anonymous());
    Ok(links.layer(around(guarded.merge(front).merge(doors.open))))
}

/// What a session rests on: an identity that was proven just now, and that opens sockets for so long
/// until it is proven again.
///
/// The owner's token was issued at no particular time: it is issued with every admission. So what is
/// taken back from the owner are the sockets that are open, and the token stays good. Whoever could
/// take it back could lock the owner out, and there would be nobody to let him in again: another one
/// comes with a restart. What guests have is theirs by a link, and is gone with it.
fn sitting(lifetime: Option<Duration>) -> Box<dyn Fn(Identity) -> Identity + Send + Sync> {
    Box::new(move |identity| {
        let now = SystemTime::now();
        let ends = [
            identity.session_ends_at(),
            lifetime.and_then(|lifetime| now.checked_add(lifetime)),
        ];
        identity
            .to_builder()
            .issued_at(identity.issued_at().unwrap_or(now))
            .session_ends_at(ends.into_iter().flatten().min())
            .build()
    })
}

async fn log_out(State(cookie): State<SealedCookie>) -> impl IntoResponse {
    (AppendHeaders(cookie.removal()), Redirect::to("/"))
}

/// Says no in the words of Jupyter, and to a person in a sentence.
fn refuse(refusal: &Refusal, request: &Parts) -> Response<Body> {
    let is_page = request.uri.path() == "/";
    let (kind, body) = if is_page {
        let page = "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>\
            <title>Not let in</title><h1>This link does not let you in</h1>\
            <p>Open the link that the server printed when it started. <a href='/'>Try without</a>.";
        ("text/html; charset=utf-8", page.to_owned())
    } else {
        let body =
            serde_json::json!({ "message": refusal.explain(), "reason": refusal.kind().as_str() });
        ("application/json", body.to_string())
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = refusal.status();
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
