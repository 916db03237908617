//! Authorization: what an identity may do, asked of a route.
//!
//! [`RequireScopeLayer`] goes inside [`AuthLayer`](crate::AuthLayer), which puts the identity
//! there that it asks.
//!
//! ```
//! use axum::{Router, routing::any};
//! use portcullis::{AuthLayer, RequireScopeLayer, StaticToken, StaticTokens};
//!
//! let tokens = StaticTokens::new([StaticToken::new("alice", "s3cret")?.scopes(["chat:read"])])?;
//! let app: Router = Router::new()
//!     .route("/read", any(|| async {}).layer(RequireScopeLayer::all(["chat:read"])))
//!     .route("/admin", any(|| async {}).layer(RequireScopeLayer::any(["chat:admin", "root"])))
//!     .route_layer(AuthLayer::new(tokens));
//! # Ok::<_, portcullis::verify::StaticTokenError>(())
//! ```

mod future;
mod layer;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::RequireScopeLayer;
pub use self::service::RequireScope;
