//! Sockets that say who they are in a message: by clients that others wrote, and by the message.

mod ddp;
mod fhir;
mod first_message;
mod graphql_ws;

/// The close code for a credential that is missing, bad, or at its end.
const UNAUTHORIZED: u16 = 3000;

/// For one that did not come in time.
const TIMEOUT: u16 = 3008;
