//! Links that log a browser in: `?token=` becomes an encrypted cookie.
//!
//! [`PersistTokenLayer`](crate::PersistTokenLayer) wraps the whole router, outside of
//! [`AuthLayer`](crate::AuthLayer). When a browser opens a page with a token in its URL, the layer
//! sets the [`SealedCookie`](crate::seal::SealedCookie) and redirects (303) to the same URL without
//! the token. It passes all other requests to the router:
//!
//! | request | effect |
//! |---|---|
//! | an upgrade, or a host that is not on the list | passes; the cookie does not change |
//! | opens a page with a valid token | the response is a 303 with the cookie |
//! | … through a link on a page of another site | the response asks "Continue as alice?" first |
//! | … while another user is logged in | a 409 names both users and offers to switch |
//! | … with an invalid token, or an unavailable verifier | passes; admission refuses it |
//! | opens a page with an invalid cookie | passes; the response removes the cookie |
//! | opens a page with a cookie of a previous key | passes; the response renews the cookie |
//! | every other request: API calls, `HEAD`, prefetches, frames | passes |
//!
//! A request *opens a page* if it is a `GET` without an upgrade or prefetch, its `Accept` contains
//! `text/html`, and `Sec-Fetch-Mode` and `Sec-Fetch-Dest` are `navigate` and `document` or absent.
//! A script or `curl` with `?token=` therefore gets its response without a redirect.
//!
//! The layer does not change a request that passes. The token stays in the URL until admission
//! removes it, so the profile of the [`AuthLayer`](crate::AuthLayer) has to read the same
//! parameter.

mod api_response;
mod confirmation;
mod cookie_update;
pub(crate) mod layer;
mod link;
mod login;
mod navigation;
mod page;
mod redirect;
mod settings;

#[cfg(test)]
mod tests;

pub use self::layer::{PersistToken, ResponseFuture};
pub use self::settings::LinkPolicy;

type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
