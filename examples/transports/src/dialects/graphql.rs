use std::time::Duration;

use async_graphql::{Context, Data, EmptyMutation, Object, Schema, Subscription};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::extract::State;
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use portcullis::{GuardedUpgrade, Session};
use tokio::time::MissedTickBehavior;

use crate::problem::problem;

/// async-graphql knows nothing of credentials: the dialect has read `connection_init` before it, and
/// the resolvers ask the session whose it is.
pub(crate) async fn socket(
    State(api): State<Api>,
    protocol: Result<GraphQLProtocol, StatusCode>,
    upgrade: GuardedUpgrade,
) -> Response {
    let (Ok(protocol), true) = (protocol, prefers_ours(&upgrade)) else {
        let detail = format!("offer the subprotocol {PROTOCOL}");
        return problem(StatusCode::BAD_REQUEST, &detail, &[]);
    };
    upgrade
        .protocols([PROTOCOL])
        .on_upgrade(async move |socket| {
            let mut data = Data::default();
            data.insert(socket.session());
            GraphQLWebSocket::new(socket, api, protocol)
                .with_data(data)
                .serve()
                .await;
        })
}

/// async-graphql also speaks the protocol before it, which is confusingly named like the package.
fn prefers_ours(upgrade: &GuardedUpgrade) -> bool {
    let mut offered = upgrade.requested_protocols().iter();
    offered.find(|entry| [PROTOCOL.as_bytes(), b"graphql-ws"].contains(entry))
        == Some(PROTOCOL.as_bytes())
}

pub(crate) fn api() -> Api {
    Schema::new(Query, EmptyMutation, Ticking)
}

pub(crate) type Api = Schema<Query, EmptyMutation, Ticking>;

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

    /// What bore the credential.
    async fn carrier(&self, context: &Context<'_>) -> async_graphql::Result<Option<&'static str>> {
        let identity = context.data::<Session>()?.identity();
        Ok(identity.proof().map(|proof| proof.carrier.as_str()))
    }

    /// The id of this socket's session.
    async fn session(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        Ok(context.data::<Session>()?.id().to_string())
    }

    /// The whole seconds until the session ends.
    async fn expires_in(&self, context: &Context<'_>) -> async_graphql::Result<u64> {
        Ok(context.data::<Session>()?.expires_in().as_secs())
    }
}

pub(crate) struct Ticking;

#[Subscription]
impl Ticking {
    /// Counts from 0, `count` times or for as long as somebody listens.
    async fn ticks(&self, count: Option<u32>) -> impl Stream<Item = u64> + use<> {
        counting(count)
    }
}

fn counting(count: Option<u32>) -> impl Stream<Item = u64> {
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
    async fn counts_as_far_as_it_is_told() {
        let counted: Vec<_> = counting(Some(2)).collect().await;
        assert_eq!(counted, [0, 1]);
        let more: Vec<_> = counting(None).take(3).collect().await;
        assert_eq!(more, [0, 1, 2]);
    }
}
