use std::collections::BTreeMap;
use std::sync::Arc;

use fhir_subscriptions_resources::codes::EncounterStatus;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::LimitReached;
use crate::fhir::instant;

/// The maximum number of encounters.
const MAX_ENCOUNTERS: usize = 20_000;

/// The latest version of each encounter.
#[derive(Debug, Default)]
pub(super) struct Encounters {
    latest: BTreeMap<u64, EncounterVersion>,
}

/// An encounter that a client sent.
#[derive(Debug)]
pub(crate) struct EncounterInput {
    pub(crate) status: EncounterStatus,
    /// A reference to the patient, such as `Patient/1`.
    pub(crate) patient: Option<String>,
    pub(crate) resource: Value,
}

/// One version of an encounter.
#[derive(Clone, Debug)]
pub(crate) struct EncounterVersion {
    pub(crate) id: u64,
    pub(crate) version: u64,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) status: EncounterStatus,
    pub(crate) patient: Option<String>,
    pub(crate) resource: Arc<Value>,
}

impl EncounterVersion {
    /// Returns a reference such as `Encounter/1`.
    pub(crate) fn reference(&self) -> String {
        format!("Encounter/{}", self.id)
    }
}

impl Encounters {
    pub(super) fn create(
        &mut self,
        input: EncounterInput,
    ) -> Result<EncounterVersion, LimitReached> {
        if self.latest.len() >= MAX_ENCOUNTERS {
            return Err(LimitReached);
        }
        let last = self.latest.last_key_value().map_or(0, |(id, _)| *id);
        Ok(self.insert(last + 1, 1, input))
    }

    /// Returns the previous and the new version, or `None` if the encounter does not exist.
    pub(super) fn update(
        &mut self,
        id: u64,
        input: EncounterInput,
    ) -> Option<(EncounterVersion, EncounterVersion)> {
        let previous = self.find(id)?;
        let current = self.insert(id, previous.version + 1, input);
        Some((previous, current))
    }

    pub(super) fn find(&self, id: u64) -> Option<EncounterVersion> {
        self.latest.get(&id).cloned()
    }

    fn insert(&mut self, id: u64, version: u64, input: EncounterInput) -> EncounterVersion {
        let EncounterInput {
            status,
            patient,
            mut resource,
        } = input;
        let updated_at = OffsetDateTime::now_utc();
        resource["id"] = json!(id.to_string());
        resource["meta"]["versionId"] = json!(version.to_string());
        resource["meta"]["lastUpdated"] = json!(instant(updated_at));
        let encounter = EncounterVersion {
            id,
            version,
            updated_at,
            status,
            patient,
            resource: Arc::new(resource),
        };
        self.latest.insert(id, encounter.clone());
        encounter
    }
}
