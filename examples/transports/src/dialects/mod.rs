//! The sockets on which a client says in a message who it is.

mod ddp;
mod fhir;
mod graphql;

use std::error::Error;

use axum::Router;
use axum::routing::any;
use portcullis::Profile;
use portcullis::carrier::Authorization;
use portcullis::dialect::{Ddp, Fhir, FirstMessage, GraphqlWs, InBandRenewal};

use crate::auth::Auth;
use crate::hello;
use crate::ways::any_way;

/// A route for each dialect. A program that can send a header may do that instead.
pub(crate) fn routes(auth: &Auth) -> Result<Router, Box<dyn Error>> {
    let by_header = || Profile::new("dialect").carrier(Authorization::jupyter().and_basic());
    let first_message = auth
        .by_token_or_ticket(by_header())?
        .dialect(FirstMessage::token());
    let fhir = auth.by_token(by_header())?.dialect(Fhir::new());
    let graphql = auth.by_token(by_header())?.dialect(GraphqlWs::new());
    let ddp = auth.by_token(by_header())?.dialect(Ddp::new());
    let renewable = auth.by_token(any_way())?.dialect(InBandRenewal::new());
    let api = graphql::api();
    Ok(Router::new()
        .route("/ws/first-message", any(hello::socket).layer(first_message))
        .route("/ws/fhir", any(fhir::socket).layer(fhir))
        .route(
            "/ws/graphql",
            any(graphql::socket).with_state(api).layer(graphql),
        )
        .route("/ws/ddp", any(ddp::socket).layer(ddp))
        .route("/ws/renewable", any(hello::socket).layer(renewable)))
}
