use std::collections::BTreeMap;
use std::sync::Arc;

use fhir_subscriptions_resources::codes::EncounterStatus;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Full;
use crate::fhir::instant;

/// How many encounters are kept.
const MAX: usize = 20_000;

/// The encounters of our small hospital, the last version of each.
#[derive(Debug, Default)]
pub(super) struct Encounters {
    all: BTreeMap<u64, Version>,
}

/// An encounter as a client sent it: the resource, and what we look at.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) status: EncounterStatus,
    /// Whom it is about: `Patient/1`.
    pub(crate) patient: Option<String>,
    pub(crate) resource: Value,
}

/// An encounter as it was after a change.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: u64,
    pub(crate) number: u64,
    pub(crate) at: OffsetDateTime,
    pub(crate) status: EncounterStatus,
    pub(crate) patient: Option<String>,
    pub(crate) resource: Arc<Value>,
}

impl Version {
    /// `Encounter/1`.
    pub(crate) fn reference(&self) -> String {
        format!("Encounter/{}", self.id)
    }
}

impl Encounters {
    pub(super) fn create(&mut self, draft: Draft) -> Result<Version, Full> {
        if self.all.len() >= MAX {
            return Err(Full);
        }
        let last = self.all.last_key_value().map_or(0, |(id, _)| *id);
        Ok(self.keep(last + 1, 1, draft))
    }

    /// What it was, and what it is now.
    pub(super) fn update(&mut self, id: u64, draft: Draft) -> Option<(Version, Version)> {
        let previous = self.find(id)?;
        let version = self.keep(id, previous.number + 1, draft);
        Some((previous, version))
    }

    pub(super) fn find(&self, id: u64) -> Option<Version> {
        self.all.get(&id).cloned()
    }

    fn keep(&mut self, id: u64, number: u64, draft: Draft) -> Version {
        let Draft {
            status,
            patient,
            mut resource,
        } = draft;
        let at = OffsetDateTime::now_utc();
        resource["id"] = json!(id.to_string());
        resource["meta"]["versionId"] = json!(number.to_string());
        resource["meta"]["lastUpdated"] = json!(instant(at));
        let version = Version {
            id,
            number,
            at,
            status,
            patient,
            resource: Arc::new(resource),
        };
        self.all.insert(id, version.clone());
        version
    }
}
