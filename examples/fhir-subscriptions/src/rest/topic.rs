use std::sync::Arc;

use axum::extract::{Path, State};

use super::body::Input;
use crate::app::App;
use crate::fhir::{Fhir, searchset};
use crate::outcome::Outcome;
use crate::topics::{TOPICS, Topic};

pub(super) async fn read(Path(id): Path<String>) -> Result<Fhir, Outcome> {
    let topic = TOPICS.iter().find(|topic| topic.id == id);
    let topic = topic.ok_or_else(|| Outcome::not_found("topic"))?;
    Ok(Fhir(topic.resource()))
}

/// All of them, or that of a url.
pub(super) async fn search(State(app): State<Arc<App>>, input: Input) -> Result<Fhir, Outcome> {
    let url = input.one("url")?;
    let wanted = |topic: &&Topic| url.as_deref().is_none_or(|url| topic.url == url);
    let found = TOPICS.iter().filter(wanted).map(Topic::resource).collect();
    let link = match &url {
        Some(url) => format!("SubscriptionTopic?url={url}"),
        None => "SubscriptionTopic".to_owned(),
    };
    Ok(Fhir(searchset(&app.base(), &link, found)))
}
