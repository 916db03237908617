//! The resources of FHIR R5: from their JSON, and to it.
//!
//! `fhir-sdk` has a type for each. What reads and writes them is generic, and every program that
//! calls it compiles it anew for all 157 kinds of resources, since any of them may contain any
//! other. This crate compiles it once; the server beside it is then compiled in seconds.

use std::error::Error;

pub use fhir_sdk::r5::codes;
pub use fhir_sdk::r5::resources::{Encounter, Resource, Subscription, SubscriptionFilterBy};
use serde_json::Value;

/// Reads a resource. It is one of R5, and has what R5 demands of it.
///
/// # Errors
///
/// What is wrong with it, and where.
pub fn read(json: &[u8]) -> Result<Resource, Box<dyn Error + Send + Sync>> {
    Ok(serde_json::from_slice(json)?)
}

/// Writes a resource.
pub fn write(resource: &Resource) -> String {
    // Only a map with keys that are no text could fail, and there is none in a resource.
    serde_json::to_string(resource).expect("a resource is JSON")
}

/// Makes a resource of what we wrote ourselves, as FHIR writes it: in JSON.
///
/// # Panics
///
/// If it is none of R5. That is a mistake of ours, and the first test finds it.
pub fn make(json: &Value) -> Resource {
    read(json.to_string().as_bytes()).expect("we write resources of R5")
}
