//! Admission: the decision about a request, made before the inner service is called.
//!
//! [`AuthLayer`] is the layer, [`Auth`] is its service, and [`ResponseFuture`] is the future of the
//! service. A request takes these steps, in this order:
//!
//! | step | |
//! |---|---|
//! | handshake | If the request is an upgrade, it must be a valid handshake (RFC 6455, RFC 8441). |
//! | extract | The credential is removed from every carrier of the profile. |
//! | host, origin | The host must be allowed, and so must the origin of an ambient credential. |
//! | negotiate | At least one subprotocol must remain that the response can echo. |
//! | verify | The verifier returns the identity of the credential. |
//! | grant | The identity is added to the request, with the data that opens a socket. |
//! | echo | The response may select at most one subprotocol, which the client must have offered. |
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
