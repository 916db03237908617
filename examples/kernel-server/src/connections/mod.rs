//! The open sockets of this server.
//!
//! Each socket is a session of portcullis. It ends with its credential, and can be renewed and
//! revoked. With `--redis`, servers share their tickets and revocations.

mod routes;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use example_support::TicketBackend;
use portcullis::session::{SessionId, SessionInfo};
use portcullis::{Sessions, Tickets};
use portcullis_redis::{Redis, RedisRevocations};
use tokio::time::timeout;

pub(crate) use self::routes::{admin_routes, routes};
use crate::audit::AuditLog;
use crate::kernel::{ClientKey, KernelId};

/// How long Redis may take at startup to list the revocations.
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// The paths for which there are tickets.
const TICKET_PATHS: [&str; 2] = ["/api/kernels/*", "/api/events/subscribe"];

/// The ping interval of Jupyter Server.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Handle to the open sockets. Clones share the same state.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pub(crate) sessions: Sessions,
    pub(crate) tickets: Arc<Tickets<TicketBackend>>,
    pub(crate) audit: AuditLog,
    kernel_clients: Arc<Mutex<HashMap<SessionId, KernelClient>>>,
}

/// The kernel and the client to which a session belongs.
#[derive(Clone, Debug, Eq, PartialEq)]
struct KernelClient {
    kernel: KernelId,
    client: ClientKey,
}

impl Connections {
    /// Stores tickets and revocations in the Redis at `url`, or in memory without a URL.
    pub(crate) fn new(
        url: Option<&str>,
        audit: AuditLog,
    ) -> Result<Self, portcullis_redis::ConfigError> {
        let redis = url.map(Redis::open).transpose()?;
        let ticket_store = TicketBackend::new(redis.as_ref());
        let observer = audit.clone();
        let mut sessions = Sessions::builder()
            .ping_every(PING_INTERVAL)
            .observe(move |event| observer.session(event));
        if let Some(redis) = &redis {
            sessions = sessions.revocations(RedisRevocations::new(redis));
        }
        Ok(Self {
            sessions: sessions.build(),
            tickets: Arc::new(Tickets::new(ticket_store, TICKET_PATHS)),
            audit,
            kernel_clients: Arc::default(),
        })
    }

    /// Waits until the revocations from before the start of this server are known.
    pub(crate) async fn ready(&self) -> Result<(), Box<dyn Error>> {
        timeout(REDIS_TIMEOUT, self.sessions.synchronized())
            .await
            .map_err(|_| "Redis does not answer".into())
    }

    /// Records, until the returned value is dropped, that `session` belongs to `client`.
    pub(crate) fn register(
        &self,
        session: SessionId,
        kernel: KernelId,
        client: ClientKey,
    ) -> Registration {
        self.lock().insert(session, KernelClient { kernel, client });
        Registration {
            session,
            connections: self.clone(),
        }
    }

    /// Finds the session of a client of a kernel. Returns the newest one while an older one is
    /// being closed.
    fn session_of(&self, kernel: KernelId, client: &ClientKey) -> Option<SessionInfo> {
        self.lock()
            .iter()
            .filter(|(_, other)| other.kernel == kernel && other.client == *client)
            .filter_map(|(id, _)| self.sessions.find(*id))
            .max_by_key(|session| session.since)
    }

    fn kernel_of(&self, session: SessionId) -> Option<KernelId> {
        self.lock().get(&session).map(|client| client.kernel)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, KernelClient>> {
        self.kernel_clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the record of a session when it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    session: SessionId,
    connections: Connections,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.session);
    }
}
