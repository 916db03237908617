//! The suites of the stores' traits. Every implementation runs them: a test binary includes this
//! file with `#[path]`.

pub(crate) mod revocations;
pub(crate) mod tickets;
