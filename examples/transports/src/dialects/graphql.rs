use std::time::Duration;

use async_graphql::{Context, Data, EmptyMutation, Object, Schema};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::extract::State;
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use portcullis::{GuardedUpgrade, Session};
use tokio::time::MissedTickBehavior;

use crate::problem::problem;

/// A GraphQL server on async-graphql.
///
/// The dialect reads the credential from `connection_init`. The resolvers read the identity from
/// the session, which is part of their context.
pub(crate) async fn socket(
    State(schema): State<ApiSchema>,
    protocol: Result<GraphQLProtocol, StatusCode>,
    upgrade: GuardedUpgrade,
) -> Response {
    let (Ok(protocol), true) = (protocol, prefers_transport_ws(&upgrade)) else {
        let detail = format!("the client must offer the subprotocol `{PROTOCOL}`");
        return problem(StatusCode::BAD_REQUEST, &detail, &[]);
    };
    upgrade
        .protocols([PROTOCOL])
        .on_upgrade(async move |socket| {
            let mut data = Data::default();
            data.insert(socket.session());
            GraphQLWebSocket::new(socket, schema, protocol)
                .with_data(data)
                .serve()
                .await;
        })
}

/// Returns whether the client offers [`PROTOCOL`] before the older protocol `graphql-ws`.
///
/// async-graphql selects the first of the two that the client offers, and the dialect supports only
/// [`PROTOCOL`]. The npm package `graphql-ws` implements [`PROTOCOL`], despite its name.
fn prefers_transport_ws(upgrade: &GuardedUpgrade) -> bool {
    let mut offered = upgrade.requested_protocols().iter();
    offered.find(|entry| [PROTOCOL.as_bytes(), b"graphql-ws"].contains(entry))
        == Some(PROTOCOL.as_bytes())
}

pub(crate) type ApiSchema = Schema<Query, EmptyMutation, Subscription>;

pub(crate) fn schema() -> ApiSchema {
    Schema::new(Query, EmptyMutation, Subscription)
}

pub(crate) struct Query;

#[Object]
impl Query {
    /// The subject of the credential.
    async fn whoami(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        let identity = context.data::<Session>()?.identity();
        Ok(identity.subject().to_owned())
    }

    async fn hello(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        let identity = context.data::<Session>()?.identity();
        Ok(format!("Hello, {}!", identity.subject()))
    }

    /// The carrier of the credential.
    async fn carrier(&self, context: &Context<'_>) -> async_graphql::Result<Option<&'static str>> {
        let identity = context.data::<Session>()?.identity();
        Ok(identity.proof().map(|proof| proof.carrier.as_str()))
    }

    /// The id of the session.
    async fn session(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        Ok(context.data::<Session>()?.id().to_string())
    }

    /// The number of seconds until the session expires.
    async fn expires_in(&self, context: &Context<'_>) -> async_graphql::Result<u64> {
        Ok(context.data::<Session>()?.expires_in().as_secs())
    }
}

pub(crate) struct Subscription;

#[async_graphql::Subscription]
impl Subscription {
    /// Counts from 0. Ends after `count` numbers, or when the client unsubscribes.
    async fn ticks(&self, count: Option<u32>) -> impl Stream<Item = u64> + use<> {
        ticks(count)
    }
}

fn ticks(count: Option<u32>) -> impl Stream<Item = u64> {
    let mut interval = tokio::time::interval(Duration::from_millis(100));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ticks = stream::unfold((interval, 0), async |(mut interval, tick)| {
        interval.tick().await;
        Some((tick, (interval, tick + 1)))
    });
    ticks.take(count.map_or(usize::MAX, |count| count as usize))
}

const PROTOCOL: &str = "graphql-transport-ws";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ticks_end_after_the_requested_count() {
        let counted: Vec<_> = ticks(Some(2)).collect().await;
        assert_eq!(counted, [0, 1]);
    }

    #[tokio::test]
    async fn ticks_without_a_count_do_not_end() {
        let first: Vec<_> = ticks(None).take(3).collect().await;
        assert_eq!(first, [0, 1, 2]);
    }
}
