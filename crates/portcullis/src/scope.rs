//! Authorization: which scopes an identity needs on a route.
//!
//! [`RequireScopeLayer`](crate::RequireScopeLayer) goes inside of
//! [`AuthLayer`](crate::AuthLayer), which inserts the identity that it checks.
//!
//! ```
//! use axum::{Router, routing::any};
//! use portcullis::verify::StaticToken;
//! use portcullis::{AuthLayer, RequireScopeLayer, StaticTokens};
//!
//! let tokens = StaticTokens::new([StaticToken::new("alice", "s3cret")?.scopes(["chat:read"])])?;
//! let app: Router = Router::new()
//!     .route("/read", any(|| async {}).layer(RequireScopeLayer::all(["chat:read"])))
//!     .route("/admin", any(|| async {}).layer(RequireScopeLayer::any(["chat:admin", "root"])))
//!     .route_layer(AuthLayer::new(tokens));
//! # Ok::<_, portcullis::verify::StaticTokenError>(())
//! ```

pub use crate::require_scope::{RequireScope, ResponseFuture};
