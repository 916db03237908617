//! Admission: the decision about a request, made before the inner service is called.
//!
//! [`AuthLayer`] is the layer, [`Auth`] its service and [`ResponseFuture`] the future of that. A
//! request takes these steps, in this order:
//!
//! | step | |
//! |---|---|
//! | handshake | Is the request an upgrade? If so, it has to be a valid handshake (RFC 6455, RFC 8441). |
//! | extract | The credential is removed from every carrier of the profile. |
//! | host, origin | The host is allowed, and an ambient credential comes from an allowed origin. |
//! | negotiate | At least one subprotocol is left that the response can echo. |
//! | verify | The verifier returns the identity of the credential. |
//! | grant | The request gets the identity, and what opens its socket. |
//! | echo | On the way back, the response contains at most one subprotocol, one that was offered. |
//!
//! A refused request is answered here, and the inner service is not called. Whether the request is
//! an upgrade never decides *whether* to authenticate.

mod diagnostics;
mod echo;
mod extract;
mod grant;
mod handshake;
mod host;
mod in_band;
pub(crate) mod layer;
mod negotiate;
mod origin;
mod service;
mod verify;

#[cfg(feature = "axum")]
pub(crate) use self::grant::{Presented, SocketGrant};
pub use self::host::{AllowedHost, ParseHostError};
#[cfg(feature = "cookie")]
pub(crate) use self::layer::AuthLayer;
pub use self::origin::{AllowedOrigin, ParseOriginError};
pub use self::service::{Auth, ResponseFuture};
#[cfg(feature = "cookie")]
pub(crate) use self::{host::HostPolicy, origin::OriginPolicy, verify::LimitedVerifier};
