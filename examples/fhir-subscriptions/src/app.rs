//! The state of the server and its router.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::any;
use http::{HeaderValue, header};
use portcullis::Sessions;
use portcullis::trace::redacting_span;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use crate::binding::BindingTokens;
use crate::fhircast::{self, Hub};
use crate::options::Options;
use crate::store::Store;
use crate::{auth, page, rest, socket};

/// The maximum size of a request body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The maximum number of open sockets of one user.
const MAX_SOCKETS: usize = 100;

/// The state that the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) tokens: BindingTokens,
    pub(crate) sessions: Sessions,
    pub(crate) hub: Arc<Hub>,
    /// The host and the port of the server.
    pub(crate) authority: String,
}

impl App {
    pub(crate) fn new(options: &Options, address: SocketAddr) -> Arc<Self> {
        let queue = usize::try_from(options.queue.get()).unwrap_or(usize::MAX);
        Arc::new(Self {
            store: Store::new(queue),
            tokens: BindingTokens::new(options.token_lifetime()),
            sessions: Sessions::builder()
                .max_sessions_per_subject(MAX_SOCKETS)
                .build(),
            hub: Hub::new(options.token_lifetime(), queue),
            authority: address.to_string(),
        })
    }

    /// Returns the base URL of all resources.
    pub(crate) fn base(&self) -> String {
        format!("http://{}/fhir", self.authority)
    }

    /// Returns the URL of the WebSocket.
    pub(crate) fn websocket_url(&self) -> String {
        format!("ws://{}/fhir/ws", self.authority)
    }
}

/// Returns the routes of the server.
pub(crate) fn router(app: &Arc<App>, options: &Options) -> Result<Router, Box<dyn Error>> {
    let public = Router::new()
        .nest("/fhir", rest::public_routes())
        .merge(fhircast::public_routes());
    let api = Router::new()
        .nest("/fhir", rest::user_routes())
        .merge(fhircast::user_routes())
        .route_layer(auth::user_layer(&options.users)?);
    let socket = Router::new()
        .route("/fhir/ws", any(socket::open))
        .route_layer(auth::socket_layer(app)?);
    let traced = public
        .merge(api)
        .merge(socket)
        .merge(page::routes())
        .fallback(rest::not_found)
        .method_not_allowed_fallback(rest::method_not_allowed)
        .layer(TraceLayer::new_for_http().make_span_with(redacting_span));
    // The path of a FHIRcast socket is a secret, so these routes are not traced.
    let router = traced
        .merge(fhircast::socket_routes())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .with_state(Arc::clone(app));
    Ok(router)
}
