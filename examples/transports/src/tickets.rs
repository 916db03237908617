use std::error::Error;

use axum::Router;
use axum::routing::post;
use portcullis::ws::{mint_handler, renewal_handler};

use crate::auth::{Auth, api_profile};

/// Endpoints that mint a ticket for a new socket, and renew the session of an open one.
pub(crate) fn routes(auth: &Auth) -> Result<Router, Box<dyn Error>> {
    Ok(Router::new()
        .route("/ticket", post(mint_handler(auth.tickets())))
        .route("/renew", post(renewal_handler(auth.sessions())))
        .route_layer(auth.token_layer(api_profile())?)
        .layer(auth.cors_layer()?))
}
