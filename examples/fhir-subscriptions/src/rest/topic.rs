use std::sync::Arc;

use axum::extract::{Path, State};

use super::body::Parameters;
use crate::app::App;
use crate::fhir::{FhirJson, searchset};
use crate::outcome::OperationOutcome;
use crate::topics::{TOPICS, Topic};

pub(super) async fn read(Path(id): Path<String>) -> Result<FhirJson, OperationOutcome> {
    let topic = TOPICS.iter().find(|topic| topic.id == id);
    let topic = topic.ok_or_else(|| OperationOutcome::not_found("topic"))?;
    Ok(FhirJson(topic.resource()))
}

/// Returns the topics, filtered by URL.
pub(super) async fn search(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<FhirJson, OperationOutcome> {
    let url = parameters.one("url")?;
    let matches = |topic: &&Topic| url.as_deref().is_none_or(|url| topic.url == url);
    let found = TOPICS.iter().filter(matches).map(Topic::resource).collect();
    let link = match &url {
        Some(url) => format!("SubscriptionTopic?url={url}"),
        None => "SubscriptionTopic".to_owned(),
    };
    Ok(FhirJson(searchset(&app.base(), &link, found)))
}
