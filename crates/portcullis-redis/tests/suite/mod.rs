//! Tests that every implementation of a store trait has to pass. A test binary includes this file, or
//! one of its modules, with `#[path]`.

pub(crate) mod revocations;
pub(crate) mod tickets;
