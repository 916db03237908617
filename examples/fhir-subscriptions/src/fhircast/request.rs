use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::HubError;

/// The form of a request that subscribes or unsubscribes.
#[derive(Debug, Deserialize)]
pub(super) struct SubscriptionRequest {
    #[serde(rename = "hub.channel.type")]
    channel: String,

    #[serde(rename = "hub.mode")]
    pub(super) mode: Mode,

    #[serde(rename = "hub.topic")]
    pub(super) topic: String,

    #[serde(default, rename = "hub.events")]
    events: String,

    #[serde(rename = "hub.lease_seconds")]
    lease_seconds: Option<u64>,

    /// The URL of an existing subscription.
    #[serde(rename = "hub.channel.endpoint")]
    pub(super) endpoint: Option<String>,

    #[serde(rename = "subscriber.name")]
    pub(super) name: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Subscribe,
    Unsubscribe,
}

impl SubscriptionRequest {
    /// Returns the names of the requested events.
    pub(super) fn events(&self) -> impl Iterator<Item = &str> {
        let events = self.events.split(',').map(str::trim);
        events.filter(|event| !event.is_empty())
    }

    /// Returns the requested lease.
    pub(super) fn lease(&self) -> Option<Duration> {
        self.lease_seconds.map(Duration::from_secs)
    }

    /// Checks the fields that are required in each form.
    pub(super) fn validate(&self) -> Result<(), HubError> {
        if self.channel != "websocket" {
            return Err(HubError::bad_request("hub.channel.type must be websocket."));
        }
        if self.topic.is_empty() {
            return Err(HubError::bad_request("hub.topic is empty."));
        }
        if self.mode == Mode::Subscribe && self.events().next().is_none() {
            return Err(HubError::bad_request("hub.events is empty."));
        }
        Ok(())
    }
}

/// An event that a client published.
#[derive(Clone, Debug)]
pub(super) struct HubEvent {
    pub(super) id: String,
    pub(super) topic: String,
    pub(super) name: String,
    /// The whole message.
    pub(super) message: Value,
}

impl HubEvent {
    pub(super) fn parse(message: Value) -> Result<Self, HubError> {
        let text = |value: &Value, name: &str| match value.as_str() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(HubError::bad_request(format!("{name} is missing."))),
        };
        let timestamp = text(&message["timestamp"], "timestamp")?;
        OffsetDateTime::parse(&timestamp, &Rfc3339)
            .map_err(|_| HubError::bad_request("timestamp is not a valid date and time."))?;
        if !message["event"]["context"].is_array() {
            return Err(HubError::bad_request("event.context is missing."));
        }
        Ok(Self {
            id: text(&message["id"], "id")?,
            topic: text(&message["event"]["hub.topic"], "event.hub.topic")?,
            name: text(&message["event"]["hub.event"], "event.hub.event")?,
            message,
        })
    }
}
