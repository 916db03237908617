//! The clock that the library reads the time from, so that a test can set it.

pub use portcullis_core::{Clock, SystemClock};
