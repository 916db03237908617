use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, Pipeline, PushInfo, PushKind, RedisError,
    Value,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// A server, and the connection to it that all callers share.
///
/// It never sends a command twice, because a command without a response may have been executed.
pub(crate) struct Node {
    client: Client,
    connect_limit: Duration,
    connection: Mutex<Option<Shared>>,
    is_unavailable: AtomicBool,
}

#[derive(Clone)]
struct Shared {
    connection: MultiplexedConnection,
    is_broken: Arc<AtomicBool>,
}

/// The reason why there is no response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SendError {
    /// There is no connection, so the command was not sent.
    NotSent,

    /// The command was sent. It may have been executed.
    NoResponse,
}

impl Node {
    pub(crate) fn new(server: ConnectionInfo, connect_limit: Duration) -> redis::RedisResult<Self> {
        Ok(Self {
            client: Client::open(server)?,
            connect_limit,
            connection: Mutex::new(None),
            is_unavailable: AtomicBool::new(false),
        })
    }

    pub(crate) fn server(&self) -> &ConnectionInfo {
        self.client.get_connection_info()
    }

    /// Sends `commands` in one batch and waits for all responses until `end`. A response may be an
    /// error of the server.
    pub(crate) async fn send(
        &self,
        commands: &[Cmd],
        asking: bool,
        end: Instant,
    ) -> Result<Vec<Value>, SendError> {
        let shared = self.connection(end).await.ok_or(SendError::NotSent)?;
        let responses = timeout_at(end, send(shared.connection.clone(), commands, asking));
        let error = match responses.await {
            Ok(Ok(responses)) => return Ok(responses),
            Ok(Err(error)) => Some(error),
            // The connection may be half open. Callers that wait for a response keep it, and the
            // next command gets a new one.
            Err(_) => None,
        };
        shared.is_broken.store(true, Ordering::Relaxed);
        self.log_unavailable(error.as_ref());
        Err(SendError::NoResponse)
    }

    /// Opens a separate connection, and passes the messages that the server pushes to `listen`.
    pub(crate) async fn open(
        &self,
        listen: impl Fn(PushInfo) + Send + Sync + 'static,
        end: Instant,
    ) -> Option<MultiplexedConnection> {
        let listen = move |push| {
            listen(push);
            Ok::<_, std::convert::Infallible>(())
        };
        // This module sets both time limits itself.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(listen);
        let opened = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let end = end.min(Instant::now() + self.connect_limit);
        match timeout_at(end, opened).await {
            Ok(Ok(connection)) => {
                self.log_available();
                Some(connection)
            }
            Ok(Err(error)) => {
                self.log_unavailable(Some(&error));
                None
            }
            Err(_) => {
                self.log_unavailable(None);
                None
            }
        }
    }

    /// Returns the shared connection, or opens a new one. Concurrent callers wait for the same
    /// attempt.
    async fn connection(&self, end: Instant) -> Option<Shared> {
        let mut current = timeout_at(end, self.connection.lock()).await.ok()?;
        if let Some(shared) = &*current
            && !shared.is_broken.load(Ordering::Relaxed)
        {
            return Some(shared.clone());
        }
        *current = None;
        let is_broken = Arc::new(AtomicBool::new(false));
        let notice = Arc::clone(&is_broken);
        let listen = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                notice.store(true, Ordering::Relaxed);
            }
        };
        let connection = self.open(listen, end).await?;
        *current = Some(Shared {
            connection,
            is_broken,
        });
        current.clone()
    }

    /// Logs once that the server is unavailable. The event does not contain the error message,
    /// because a server may put arguments of the command into it.
    fn log_unavailable(&self, error: Option<&RedisError>) {
        if !self.is_unavailable.swap(true, Ordering::Relaxed) {
            let reason = error.map_or("no response before the deadline", RedisError::category);
            tracing::warn!(server = %self.server().addr(), reason, "Redis is unavailable");
        }
    }

    fn log_available(&self) {
        if self.is_unavailable.swap(false, Ordering::Relaxed) {
            tracing::info!(server = %self.server().addr(), "Redis is available again");
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node")
            .field(&self.server().addr().to_string())
            .finish()
    }
}

async fn send(
    mut connection: MultiplexedConnection,
    commands: &[Cmd],
    asking: bool,
) -> redis::RedisResult<Vec<Value>> {
    if let ([command], false) = (commands, asking) {
        return Ok(vec![connection.send_packed_command(command).await?]);
    }
    // In one batch: `ASKING` applies to the next command of the connection, which other callers
    // use, too.
    let mut pipeline = Pipeline::new();
    if asking {
        pipeline.cmd("ASKING");
    }
    for command in commands {
        pipeline.add_command(command.clone());
    }
    let expected = commands.len() + usize::from(asking);
    let mut responses = connection
        .send_packed_commands(&pipeline, 0, expected)
        .await?;
    responses.drain(..usize::from(asking));
    Ok(responses)
}
