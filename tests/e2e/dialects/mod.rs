//! Sockets that authenticate with a message: clients of other projects, and single messages.

mod ddp;
mod fhir;
mod first_message;
mod graphql_ws;

/// The close code for a credential that is missing, invalid or expired.
const UNAUTHORIZED: u16 = 3000;

/// The close code if no credential arrives in time.
const TIMEOUT: u16 = 3008;
