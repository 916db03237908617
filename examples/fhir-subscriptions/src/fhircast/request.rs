use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::No;

/// The form that subscribes or unsubscribes.
#[derive(Debug, Deserialize)]
pub(super) struct Subscribe {
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

    /// An address that it has already.
    #[serde(rename = "hub.channel.endpoint")]
    pub(super) endpoint: Option<String>,

    /// What the subscriber calls itself.
    #[serde(rename = "subscriber.name")]
    pub(super) name: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Subscribe,
    Unsubscribe,
}

impl Subscribe {
    /// The events it wants, as it writes them.
    pub(super) fn events(&self) -> impl Iterator<Item = &str> {
        let events = self.events.split(',').map(str::trim);
        events.filter(|event| !event.is_empty())
    }

    /// How long it wants them, if it says so.
    pub(super) fn lease(&self) -> Option<Duration> {
        self.lease_seconds.map(Duration::from_secs)
    }

    /// What every form must have.
    pub(super) fn check(&self) -> Result<(), No> {
        if self.channel != "websocket" {
            return Err(No::bad("The one hub.channel.type here is websocket."));
        }
        if self.topic.is_empty() {
            return Err(No::bad("hub.topic is empty."));
        }
        if self.mode == Mode::Subscribe && self.events().next().is_none() {
            return Err(No::bad("hub.events is empty."));
        }
        Ok(())
    }
}

/// Something that happened, as its message tells it.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    pub(super) id: String,
    pub(super) topic: String,
    pub(super) event: String,
    pub(super) message: Value,
}

impl Happening {
    pub(super) fn new(message: Value) -> Result<Self, No> {
        let text = |value: &Value, name: &str| match value.as_str() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(No::bad(format!("{name} is missing."))),
        };
        let timestamp = text(&message["timestamp"], "timestamp")?;
        OffsetDateTime::parse(&timestamp, &Rfc3339)
            .map_err(|_| No::bad("timestamp is no point in time."))?;
        if !message["event"]["context"].is_array() {
            return Err(No::bad("event.context is missing."));
        }
        Ok(Self {
            id: text(&message["id"], "id")?,
            topic: text(&message["event"]["hub.topic"], "event.hub.topic")?,
            event: text(&message["event"]["hub.event"], "event.hub.event")?,
            message,
        })
    }
}
