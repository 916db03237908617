//! Admission: the decision about a request, taken before the inner service is called.
//!
//! [`AuthLayer`] is the layer, [`Auth`] the service it makes and [`ResponseFuture`] what that
//! answers. The steps in between are files of their own, in the order a request takes them:
//!
//! | step | |
//! |---|---|
//! | detect | is it an upgrade? It shapes what follows; it never decides *whether* to authenticate |
//! | extract | every carrier of the profile is read, and emptied |
//! | handshake | an upgrade has to be one, as RFC 6455 and RFC 8441 say |
//! | origin | the host is on the list, and an ambient credential comes from an allowed origin |
//! | verify | whose credential is it? |
//! | echo | on the way back: the inner service's subprotocol, else the marker |
//!
//! What is refused is answered here, and the inner service is never called.

mod admission;
mod detect;
mod echo;
mod extract;
mod future;
mod grant;
mod granting;
mod handshake;
mod host;
mod in_band;
pub(crate) mod layer;
mod origin;
mod rules;
mod service;

pub(crate) use self::admission::Settings;
pub(crate) use self::detect::is_upgrade;
pub use self::future::ResponseFuture;
pub(crate) use self::grant::{Presented, SocketGrant};
pub use self::host::{AllowedHost, ParseHostError};
#[cfg(feature = "axum")]
pub(crate) use self::in_band::InBand;
pub(crate) use self::layer::AuthLayer;
pub use self::origin::{AllowedOrigin, ParseOriginError};
pub use self::service::Auth;
