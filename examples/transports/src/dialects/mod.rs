//! Sockets on which the client sends its credential in a message.

mod ddp;
mod fhir;
mod graphql;

use std::error::Error;

use axum::Router;
use axum::routing::any;
use portcullis::Profile;
use portcullis::carrier::AuthorizationCarrier;
use portcullis::dialect::{Ddp, Fhir, FirstMessage, GraphqlWs, InBandRenewal};

use crate::auth::Auth;
use crate::echo;
use crate::handshake::all_carriers;

/// Returns a route for each dialect.
///
/// A client that can set headers may send its credential in `Authorization` instead.
pub(crate) fn routes(auth: &Auth) -> Result<Router, Box<dyn Error>> {
    let header = || Profile::new("dialect").carrier(AuthorizationCarrier::jupyter().and_basic());
    let first_message = auth
        .token_or_ticket_layer(header())?
        .dialect(FirstMessage::token());
    let fhir = auth.token_layer(header())?.dialect(Fhir::new());
    let graphql = auth.token_layer(header())?.dialect(GraphqlWs::new());
    let ddp = auth.token_layer(header())?.dialect(Ddp::new());
    let renewable = auth
        .token_layer(all_carriers())?
        .dialect(InBandRenewal::new());
    let graphql_socket = any(graphql::socket).with_state(graphql::schema());
    Ok(Router::new()
        .route("/ws/first-message", any(echo::socket).layer(first_message))
        .route("/ws/fhir", any(fhir::socket).layer(fhir))
        .route("/ws/graphql", graphql_socket.layer(graphql))
        .route("/ws/ddp", any(ddp::socket).layer(ddp))
        .route("/ws/renewable", any(echo::socket).layer(renewable)))
}
