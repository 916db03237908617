//! The state that handlers share, and the service with all routes and layers.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::{Method, header};
use portcullis::RequireScopeLayer;
use portcullis::links::PersistToken;
use portcullis::trace::redacting_span;
use portcullis::verify::BoxVerifier;
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tower_http::cors::CorsLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use crate::auth::Auth;
use crate::connections::{self, Connections};
use crate::events::Events;
use crate::kernel::{KernelSpecs, Kernels};
use crate::notebook_sessions::NotebookSessions;
use crate::options::Options;
use crate::share::{self, ShareLinks};
use crate::{api, page};

/// How long open sockets may take to answer their close frame when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The state that handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) kernels: Kernels,
    pub(crate) notebook_sessions: NotebookSessions,
    pub(crate) events: Events,
    pub(crate) started: SystemTime,
    pub(crate) connections: Connections,
    /// Cancelled when the server stops.
    pub(crate) stopping: CancellationToken,
}

impl App {
    pub(crate) fn new(specs: KernelSpecs, connections: Connections) -> Arc<Self> {
        let events = Events::new();
        Arc::new(Self {
            kernels: Kernels::new(specs, events.clone()),
            notebook_sessions: NotebookSessions::default(),
            events,
            started: SystemTime::now(),
            connections,
            stopping: CancellationToken::new(),
        })
    }

    /// Shuts down all kernels and closes all sockets. Returns after the last kernel has ended.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        let sessions = &self.connections.sessions;
        tokio::join!(self.kernels.close(), sessions.shutdown(CLOSE_TIMEOUT));
    }
}

/// Builds the service. Everything needs a credential, except the page, its files and the version.
pub(crate) fn service(
    app: &Arc<App>,
    options: &Options,
    token: &str,
    address: SocketAddr,
) -> Result<PersistToken<Router, BoxVerifier>, Box<dyn Error>> {
    let connections = &app.connections;
    let share_links = ShareLinks::default();
    let auth = Auth::new(options, token, address, connections, &share_links)?;

    let share = share::routes(&share_links, connections);
    let admin = connections::admin_routes(connections, &share_links);
    let protected = api::routes(Arc::clone(app))
        .merge(connections::routes(connections))
        .merge(page::logout(auth.cookie))
        .merge(share.layer(RequireScopeLayer::all(["share"])))
        .merge(admin.layer(RequireScopeLayer::all(["admin"])))
        .route_layer(auth.layer.clone());
    let page = page::index().route_layer(auth.layer.allow_anonymous());
    let public = page::files().merge(api::version());

    let mut router = protected
        .merge(page)
        .merge(public)
        .layer(cors(options))
        .layer(TraceLayer::new_for_http().make_span_with(redacting_span));
    for (name, value) in page::security_headers() {
        router = router.layer(SetResponseHeaderLayer::if_not_present(name, value));
    }
    Ok(auth.links.layer(router))
}

/// Allows pages of the origins in `--allow-origin` to read responses.
fn cors(options: &Options) -> CorsLayer {
    if options.allow_origin.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(options.allow_origin.clone())
        .allow_credentials(true)
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::CACHE_CONTROL,
        ])
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .expose_headers([header::LOCATION])
}
