//! Parses and serializes the resources of FHIR R5.
//!
//! `fhir-sdk` has a type for each of the 157 kinds of resources, and any of them may contain any
//! other. Its generic code is compiled anew in each crate that calls it. This crate calls it once,
//! so that the server itself compiles in seconds.

use std::error::Error;

pub use fhir_sdk::r5::codes;
pub use fhir_sdk::r5::resources::{Encounter, Resource, Subscription, SubscriptionFilterBy};
use serde_json::Value;

/// Parses a resource from JSON.
///
/// # Errors
///
/// Fails if the JSON is not a valid R5 resource. The error describes the first mistake.
pub fn parse(json: &[u8]) -> Result<Resource, Box<dyn Error + Send + Sync>> {
    Ok(serde_json::from_slice(json)?)
}

/// Serializes a resource to JSON.
pub fn serialize(resource: &Resource) -> String {
    // Serialization fails only for maps with keys other than strings. A resource has none.
    serde_json::to_string(resource).expect("a resource serializes to JSON")
}

/// Converts JSON that this server built into a resource.
///
/// # Panics
///
/// Panics if the JSON is not a valid R5 resource, which is a bug in the server.
pub fn from_value(json: &Value) -> Resource {
    parse(json.to_string().as_bytes()).expect("the server builds valid R5 resources")
}
