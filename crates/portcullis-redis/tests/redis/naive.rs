use std::time::Duration;

use portcullis_core::{StoreError, TicketKey, TicketStore};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

/// How one would write it at first: look, then delete. The suite has to catch it.
pub(crate) struct NaiveTickets {
    connection: MultiplexedConnection,
}

impl NaiveTickets {
    pub(crate) async fn new(url: &str) -> Self {
        let client = redis::Client::open(url).expect("a URL");
        let connection = client.get_multiplexed_async_connection().await;
        Self {
            connection: connection.expect("it answers"),
        }
    }
}

impl TicketStore for NaiveTickets {
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
