//! The whole of the server, as a router.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use http::{HeaderValue, header};
use portcullis::{Sessions, redacting_span};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use crate::auth::{self, Doors};
use crate::binding::BindingTokens;
use crate::fhircast::{self, Hub};
use crate::options::Options;
use crate::store::Store;
use crate::{page, rest, socket};

/// The largest resource that a client may send.
const MAX_BODY: usize = 64 * 1024;

/// How many sockets somebody may have.
const MAX_SOCKETS: usize = 100;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) tokens: BindingTokens,
    /// The sockets that are open, each for as long as its tokens.
    pub(crate) sessions: Sessions,
    pub(crate) hub: Arc<Hub>,
    /// Host and port.
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

    /// What the addresses of resources begin with.
    pub(crate) fn base(&self) -> String {
        format!("http://{}/fhir", self.authority)
    }

    /// Where sockets are opened.
    pub(crate) fn websocket_url(&self) -> String {
        format!("ws://{}/fhir/ws", self.authority)
    }
}

/// Everything, guarded.
pub(crate) fn service(app: &Arc<App>, options: &Options) -> Result<Router, Box<dyn Error>> {
    let doors = Doors {
        open: Router::new()
            .nest("/fhir", rest::open())
            .merge(fhircast::open()),
        users: Router::new()
            .nest("/fhir", rest::routes())
            .merge(fhircast::routes()),
        bound: Router::new().route("/fhir/ws", axum::routing::any(socket::open)),
    };
    let traced = auth::guard(doors, app, &options.users)?
        .merge(page::routes())
        .fallback(rest::nothing_here)
        .method_not_allowed_fallback(rest::not_so)
        .layer(TraceLayer::new_for_http().make_span_with(redacting_span));
    // The address of a FHIRcast socket is its secret, so it is in no span.
    let app = traced
        .merge(fhircast::sockets())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .with_state(Arc::clone(app));
    Ok(app)
}
