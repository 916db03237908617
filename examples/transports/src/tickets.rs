use std::error::Error;

use axum::Router;
use axum::routing::post;
use portcullis::{mint_handler, renewal_handler};

use crate::auth::{Auth, api_way};

/// What a request can do for a socket: mint a ticket that opens one, or renew one that is open.
pub(crate) fn routes(auth: &Auth) -> Result<Router, Box<dyn Error>> {
    Ok(Router::new()
        .route("/ticket", post(mint_handler(auth.tickets())))
        .route("/renew", post(renewal_handler(auth.sessions())))
        .route_layer(auth.by_token(api_way())?)
        .layer(auth.cors()?))
}
