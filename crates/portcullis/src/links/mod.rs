//! From a link with `?token=` to a logged-in browser.
//!
//! [`PersistTokenLayer`] goes around the whole router, outside of [`AuthLayer`](crate::AuthLayer).
//! It turns the token of a page's address into the [`SealedCookie`](crate::seal::SealedCookie) and
//! a redirection (303) to the same address without it. Nothing else passes through its hands:
//!
//! | request | what happens |
//! |---|---|
//! | an upgrade, or a host that is not served | passes, and no cookie is set or cleared |
//! | opening a page with a good token | cookie and 303 |
//! | … from a page of another site | "Continue as alice?", and the cookie after a `POST` of that page |
//! | … while another subject is logged in | 409, which names both and offers to switch |
//! | … with a token that is bad, or cannot be verified at the moment | passes; admission refuses it in the application's words |
//! | opening a page with a cookie that no longer opens, or that admission refuses | passes; the response clears the cookie |
//! | opening a page with a cookie of a previous key | passes; the response seals it anew, with the end it had |
//! | anything else: API calls, `HEAD`, prefetches, frames | passes |
//!
//! *Opening a page* is a `GET` that is no upgrade and no prefetch, whose `Accept` names
//! `text/html`, and whose `Sec-Fetch-Mode` and `Sec-Fetch-Dest`, where the browser sends them, are
//! `navigate` and `document`. So a script or `curl` with `?token=` gets its answer and no redirect.
//!
//! What passes, passes unchanged: the token stays in the address until admission takes it out. So
//! the profile of the [`AuthLayer`](crate::AuthLayer) inside has to read the same parameter.

mod api_reply;
mod confirmation;
mod future;
pub(crate) mod layer;
mod link;
mod navigation;
mod page;
mod porter;
mod redirect;
mod service;
mod visit;

#[cfg(test)]
mod tests;

pub use self::future::ResponseFuture;
pub use self::layer::LinkPolicy;
pub use self::service::PersistToken;
