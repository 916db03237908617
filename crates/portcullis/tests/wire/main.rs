//! What goes over the wire, in tables.
//!
//! Every module is a subject, and has a table whose rows say what is sent and what comes of it.
//! A [`Site`](site::Site) sends each row over HTTP/1.1 and HTTP/2, to a verifier that answers at
//! once and to one that has to be waited for, and all four have to agree. Beside the row it holds
//! the answer against the contract of every refusal.

mod greeter;
mod live;
mod network;
mod outcome;
mod site;
mod table;

mod asked_again;
mod authorization;
mod changes;
mod codes;
mod conflicts;
mod cookie;
mod dialects;
mod early_close;
mod ecosystem;
mod expiry;
mod faults;
mod fused;
mod handshake;
mod in_band;
mod jupyter;
mod kubernetes;
mod ledger;
mod limits;
mod liveness;
mod origin;
mod other_crates;
mod pending;
mod phoenix;
mod pings;
mod query;
mod readiness;
mod refusals;
mod renewal;
mod renewal_route;
mod revocation;
mod routes;
mod scopes;
mod secrets;
mod slow_consumers;
mod storm;
mod subprotocol;
mod tickets;
