use std::time::Duration;

use portcullis_core::{StoreError, TicketKey, TicketStore};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

/// A wrong implementation: it reads and deletes in two steps. The suite has to detect it.
pub(crate) struct GetThenDelete {
    connection: MultiplexedConnection,
}

impl GetThenDelete {
    pub(crate) async fn new(url: &str) -> Self {
        let client = redis::Client::open(url).expect("a URL");
        let connection = client.get_multiplexed_async_connection().await;
        Self {
            connection: connection.expect("Redis is available"),
        }
    }
}

impl TicketStore for GetThenDelete {
    async fn put(&self, key: TicketKey, record: Vec<u8>, _: Duration) -> Result<(), StoreError> {
        let stored: Result<(), _> = self.connection.clone().set(key.as_bytes(), record).await;
        stored.map_err(|_| StoreError::Unavailable)
    }

    async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        let mut connection = self.connection.clone();
        let record: Option<Vec<u8>> = connection
            .get(key.as_bytes())
            .await
            .map_err(|_| StoreError::Unavailable)?;
        let deleted: Result<(), _> = connection.del(key.as_bytes()).await;
        deleted.map_err(|_| StoreError::Unavailable)?;
        Ok(record)
    }
}
