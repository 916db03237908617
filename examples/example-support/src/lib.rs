//! Code that the example servers share: logging, shutdown, the users on the command line, and the
//! files of a web page.

mod shutdown;
mod static_file;
#[cfg(feature = "redis")]
mod tickets;
mod tracing;
mod user;

pub use self::shutdown::shutdown_signal;
pub use self::static_file::{content_type, static_file};
#[cfg(feature = "redis")]
pub use self::tickets::TicketBackend;
pub use self::tracing::init_tracing;
pub use self::user::User;
