//! Tests on the wire: each module is one topic, with tables of requests and their outcomes.
//!
//! Most tables run in a [`Matrix`](support::Matrix). It sends each row over HTTP/1.1 and HTTP/2, to
//! a verifier that answers immediately and to one that defers its answer, and requires the same
//! outcome each time. It also checks the contract of every refusal.

mod support;

mod authorization;
mod changes;
mod claims;
mod close_codes;
mod conflicts;
mod cookie;
mod dialects;
mod early_close;
mod expiry;
mod fused_stream;
mod handshake;
mod hosts;
mod inner_refusals;
mod issuers;
mod jupyter;
mod kubernetes;
mod lifecycle;
mod limits;
mod liveness;
mod mass_renewal;
mod misconfigurations;
mod origin;
mod other_crates;
mod pending;
mod phoenix;
mod pings;
mod query;
mod readiness;
mod recheck;
mod redirects;
mod refusals;
mod refuse_in_band;
mod renewal;
mod renewal_route;
mod revocation;
mod routes;
mod scopes;
mod secrets;
mod slow_consumers;
mod subprotocol;
mod tickets;
mod verifier_failures;
