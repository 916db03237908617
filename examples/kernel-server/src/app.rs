//! The whole of the server, as a router.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::{Method, header};
use portcullis::redacting_span;
use tokio_util::sync::CancellationToken;
use tower_http::cors::CorsLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use crate::auth::Doors;
use crate::events::Events;
use crate::kernel::{KernelSpecs, Kernels};
use crate::live::Live;
use crate::options::Options;
use crate::sessions::Sessions;
use crate::{api, auth, page};

/// How long clients may take to hear a goodbye.
const GOODBYES: Duration = Duration::from_secs(5);

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) kernels: Kernels,
    pub(crate) sessions: Sessions,
    pub(crate) events: Events,
    pub(crate) started: SystemTime,
    /// The sockets that are open, whatever they are for.
    pub(crate) live: Live,
    /// Raised when the server stops.
    pub(crate) stopping: CancellationToken,
}

impl App {
    pub(crate) fn new(specs: KernelSpecs, live: Live) -> Arc<Self> {
        let events = Events::new();
        Arc::new(Self {
            kernels: Kernels::new(specs, events.clone()),
            sessions: Sessions::default(),
            events,
            started: SystemTime::now(),
            live,
            stopping: CancellationToken::new(),
        })
    }

    /// Ends all kernels and says goodbye on all sockets. Done when no kernel is left.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        tokio::join!(self.kernels.close(), self.live.sessions.shutdown(GOODBYES));
    }
}

/// Everything there is to ask for. What says nothing of anybody is open; the rest is guarded.
pub(crate) fn service(
    app: &Arc<App>,
    options: &Options,
    token: &str,
    address: SocketAddr,
) -> Result<auth::Server, Box<dyn Error>> {
    let doors = Doors {
        open: page::files().merge(api::version()),
        front: page::index(),
        guarded: api::routes(Arc::clone(app)),
    };
    // From the inside out: what crosses origins, what is traced, what every answer says.
    let around = |router: Router| {
        let traced = router
            .layer(cors(options))
            .layer(TraceLayer::new_for_http().make_span_with(redacting_span));
        let headers = page::security_headers().into_iter();
        headers.fold(traced, |router, (name, value)| {
            router.layer(SetResponseHeaderLayer::if_not_present(name, value))
        })
    };
    auth::guard(doors, &app.live, options, token, address, around)
}

/// Lets the pages of other origins read answers, if the command line names them.
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
