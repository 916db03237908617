//! Who is connected. Every open socket is a session: it ends with its credential, it can be
//! renewed, and it can be taken back, here and on the other servers that share the same Redis.

mod routes;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use example_support::TicketBackend as Shelf;
use portcullis::session::SessionId;
use portcullis::{Sessions, Tickets};
use portcullis_redis::{Redis, RedisRevocations};
use tokio::time::timeout;

pub(crate) use self::routes::{about, administration};
use crate::audit::AuditLog;
use crate::kernel::{ClientKey, KernelId};

/// How long Redis may take to tell what is revoked, before anybody is let in.
const PICTURE: Duration = Duration::from_secs(5);

/// What may be opened with a ticket.
const SOCKETS: [&str; 2] = ["/api/kernels/*", "/api/events/subscribe"];

/// How often clients are asked whether they are there: as often as Jupyter Server asks.
const PING: Duration = Duration::from_secs(30);

/// The sessions of this server. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) sessions: Sessions,
    pub(crate) tickets: Arc<Tickets<(), Shelf>>,
    pub(crate) audit: AuditLog,
    places: Arc<Mutex<HashMap<SessionId, Place>>>,
}

/// Which client of which kernel a session is.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    kernel: KernelId,
    client: ClientKey,
}

impl Live {
    /// With the Redis at this URL, or with the memory of this process alone.
    pub(crate) fn open(
        redis: Option<&str>,
        audit: AuditLog,
    ) -> Result<Self, portcullis_redis::ConfigError> {
        let redis = redis.map(Redis::open).transpose()?;
        let shelf = Shelf::new(redis.as_ref());
        let observer = audit.clone();
        let mut sessions = Sessions::builder()
            .ping_every(PING)
            .observe(move |event| observer.session(event));
        if let Some(redis) = &redis {
            sessions = sessions.revocations(RedisRevocations::new(redis));
        }
        Ok(Self {
            sessions: sessions.build(),
            tickets: Arc::new(Tickets::new(shelf, SOCKETS)),
            audit,
            places: Arc::default(),
        })
    }

    /// Waits until it is known what was revoked before this server started.
    pub(crate) async fn ready(&self) -> Result<(), Box<dyn Error>> {
        timeout(PICTURE, self.sessions.synchronized())
            .await
            .map_err(|_| "Redis does not answer".into())
    }

    /// Remembers, until the answer is dropped, that this session is that client.
    pub(crate) fn seat(&self, session: SessionId, kernel: KernelId, client: ClientKey) -> Seat {
        self.lock().insert(session, Place { kernel, client });
        Seat {
            session,
            live: self.clone(),
        }
    }

    /// The session of a client of a kernel; the latest, while an older one is being let go.
    fn session_of(&self, kernel: KernelId, client: &ClientKey) -> Option<SessionId> {
        let places = self.lock();
        let is_there = |place: &Place| place.kernel == kernel && place.client == *client;
        let seated = places.iter().filter(|(_, place)| is_there(place));
        let open = seated.filter_map(|(id, _)| self.sessions.find(*id));
        open.max_by_key(|session| session.since)
            .map(|session| session.id)
    }

    fn kernel_of(&self, session: SessionId) -> Option<KernelId> {
        self.lock().get(&session).map(|place| place.kernel)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place, free when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    session: SessionId,
    live: Live,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.live.lock().remove(&self.session);
    }
}
