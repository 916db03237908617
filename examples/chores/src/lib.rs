//! What every example needs and none of them is about: its log, its end, the users on its command
//! line, the files of its page. What an example shows of portcullis is in the example.

mod log;
mod page;
#[cfg(feature = "shelf")]
mod shelf;
mod stop;
mod user;

pub use self::log::log;
pub use self::page::{content_type, file};
#[cfg(feature = "shelf")]
pub use self::shelf::Shelf;
pub use self::stop::stopping;
pub use self::user::User;
