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

/// One server, and the connection to it that everybody shares.
///
/// Nothing is ever sent twice: a command whose answer is lost may have been carried out.
pub(crate) struct Node {
    client: Client,
    connect_limit: Duration,
    link: Mutex<Option<Link>>,
    is_away: AtomicBool,
}

#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    is_broken: Arc<AtomicBool>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Silence {
    /// There is no connection, so the command has not left us.
    NotSent,

    /// It has been sent. What became of it, nobody knows.
    Unanswered,
}

impl Node {
    pub(crate) fn new(server: ConnectionInfo, connect_limit: Duration) -> redis::RedisResult<Self> {
        Ok(Self {
            client: Client::open(server)?,
            connect_limit,
            link: Mutex::new(None),
            is_away: AtomicBool::new(false),
        })
    }

    pub(crate) fn server(&self) -> &ConnectionInfo {
        self.client.get_connection_info()
    }

    /// Sends `commands` at once and waits for all answers, until `end`. An answer may be an error
    /// of the server.
    pub(crate) async fn send(
        &self,
        commands: &[Cmd],
        asking: bool,
        end: Instant,
    ) -> Result<Vec<Value>, Silence> {
        let link = self.link(end).await.ok_or(Silence::NotSent)?;
        let answers = timeout_at(end, send(link.connection.clone(), commands, asking));
        match answers.await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => {
                self.give_up(&link, Some(&error));
                Err(Silence::Unanswered)
            }
            Err(_) => {
                // A connection that says nothing may be half open. Those who wait for an answer
                // keep it; whoever comes next gets another one.
                self.give_up(&link, None);
                Err(Silence::Unanswered)
            }
        }
    }

    /// A connection of one's own, which hands what the server says by itself to `listen`.
    pub(crate) async fn open(
        &self,
        listen: impl Fn(PushInfo) + Send + Sync + 'static,
        end: Instant,
    ) -> Option<MultiplexedConnection> {
        let listen = move |push| {
            listen(push);
            Ok::<_, std::convert::Infallible>(())
        };
        // Both limits are ours.
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
                self.is_back();
                Some(connection)
            }
            Ok(Err(error)) => {
                self.is_away(Some(&error));
                None
            }
            Err(_) => {
                self.is_away(None);
                None
            }
        }
    }

    /// The connection, or a new one. Who waits for it waits for the one attempt that is under way.
    async fn link(&self, end: Instant) -> Option<Link> {
        let mut link = timeout_at(end, self.link.lock()).await.ok()?;
        if let Some(link) = &*link
            && !link.is_broken.load(Ordering::Relaxed)
        {
            return Some(link.clone());
        }
        *link = None;
        let is_broken = Arc::new(AtomicBool::new(false));
        let notice = Arc::clone(&is_broken);
        let listen = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                notice.store(true, Ordering::Relaxed);
            }
        };
        let connection = self.open(listen, end).await?;
        *link = Some(Link {
            connection,
            is_broken,
        });
        link.clone()
    }

    fn give_up(&self, link: &Link, error: Option<&RedisError>) {
        link.is_broken.store(true, Ordering::Relaxed);
        self.is_away(error);
    }

    /// Says once that it is away. The text of an error stays out of the log: a server may put
    /// arguments into it.
    fn is_away(&self, error: Option<&RedisError>) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            let reason = error.map_or("no answer in time", RedisError::category);
            tracing::warn!(server = %self.server().addr(), reason, "Redis is away");
        }
    }

    fn is_back(&self) {
        if self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!(server = %self.server().addr(), "Redis is back");
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
    // In one piece: `ASKING` is for the next command of the connection, which others use as well.
    let mut pipeline = Pipeline::new();
    if asking {
        pipeline.cmd("ASKING");
    }
    for command in commands {
        pipeline.add_command(command.clone());
    }
    let expected = commands.len() + usize::from(asking);
    let mut answers = connection
        .send_packed_commands(&pipeline, 0, expected)
        .await?;
    answers.drain(..usize::from(asking));
    Ok(answers)
}
