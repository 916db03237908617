use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use portcullis_core::StoreError;
use redis::{Cmd, ServerError, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::ConfigError;
use crate::address::{Address, host_and_port, sibling};
use crate::node::{Node, Silence};
use crate::slot::{SLOTS, slot_of};

/// The one server, or all of a cluster.
///
/// The client library has a cluster of its own, which sends a command again when its answer is lost.
/// We must not: nobody could tell then whether a ticket was redeemed or minted. So this one follows
/// the redirections of a cluster, which say that a command was *not* carried out, and nothing else.
/// It only ever talks to primaries.
#[derive(Debug)]
pub(crate) struct Servers {
    seeds: Vec<Arc<Node>>,
    /// The seed to begin with.
    seed: AtomicUsize,
    cluster: Option<Cluster>,
    connect_limit: Duration,
}

#[derive(Debug)]
struct Cluster {
    map: RwLock<Map>,
    /// One who reads the map is enough.
    reading: Mutex<()>,
}

/// Who has which slot, as far as we were told.
#[derive(Debug, Default)]
struct Map {
    nodes: HashMap<(String, u16), Arc<Node>>,
    slots: HashMap<u16, Arc<Node>>,
}

impl Servers {
    pub(crate) fn new(address: Address, connect_limit: Duration) -> Result<Self, ConfigError> {
        let node = |server| Node::new(server, connect_limit).map(Arc::new);
        let seeds = address.servers.into_iter().map(node);
        let seeds: Vec<_> = seeds
            .collect::<Result<_, _>>()
            .map_err(|_| ConfigError::Url)?;
        let cluster = Cluster {
            map: RwLock::default(),
            reading: Mutex::new(()),
        };
        Ok(Self {
            seeds,
            seed: AtomicUsize::new(0),
            cluster: address.is_cluster.then_some(cluster),
            connect_limit,
        })
    }

    /// Asks the server that has `key`, and tells who that was.
    pub(crate) async fn ask(
        &self,
        key: &str,
        commands: &[Cmd],
        end: Instant,
    ) -> Result<(Arc<Node>, Vec<Value>), StoreError> {
        let slot = slot_of(key);
        let mut node = self.owner(slot);
        let mut asking = false;
        let mut seeds_left = self.seeds.len();
        let mut redirections_left = MAX_REDIRECTIONS;
        loop {
            let answers = match node.send(commands, asking, end).await {
                Ok(answers) => answers,
                Err(Silence::Unanswered) => {
                    self.forget(&node);
                    return Err(StoreError::Unavailable);
                }
                Err(Silence::NotSent) => {
                    self.forget(&node);
                    node = self.elsewhere(&mut seeds_left)?;
                    asking = false;
                    continue;
                }
            };
            let error = answers.iter().find_map(|answer| match answer {
                Value::ServerError(error) => Some(error),
                _ => None,
            });
            let Some(error) = error else {
                return Ok((node, answers));
            };
            match self.redirection(slot, &node, error) {
                Redirection::To { owner, for_good } if redirections_left > 0 => {
                    redirections_left -= 1;
                    if for_good {
                        self.read_map(&node, end).await;
                    }
                    (node, asking) = (owner, !for_good);
                }
                Redirection::Later if Instant::now() < end => {
                    sleep_until(end.min(Instant::now() + A_MOMENT)).await;
                }
                Redirection::Elsewhere => {
                    self.forget(&node);
                    node = self.elsewhere(&mut seeds_left)?;
                    asking = false;
                }
                Redirection::To { .. } | Redirection::Later => {
                    return Err(StoreError::Unavailable);
                }
                Redirection::None(error) => return Err(error),
            }
        }
    }

    fn redirection(&self, slot: u16, node: &Arc<Node>, error: &ServerError) -> Redirection {
        let unavailable = Redirection::None(StoreError::Unavailable);
        match (error.kind(), &self.cluster) {
            (Some(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)), Some(cluster)) => {
                let details = error.details().unwrap_or_default();
                let for_good = kind == ServerErrorKind::Moved;
                match self.node_of_redirection(cluster, node, details) {
                    Some(owner) => {
                        if for_good {
                            let mut map = cluster.map.write().expect(NOBODY_PANICS);
                            map.slots.insert(slot, Arc::clone(&owner));
                        }
                        Redirection::To { owner, for_good }
                    }
                    None => unavailable,
                }
            }
            // While a slot moves, its keys are in two places for a moment.
            (Some(ServerErrorKind::TryAgain), Some(_)) => Redirection::Later,
            (None, _) if error.code() == "OOM" => Redirection::None(StoreError::Full),
            (kind, _) => {
                tracing::debug!(server = %node.server().addr(), code = error.code(), "Redis refuses");
                match kind {
                    Some(
                        ServerErrorKind::BusyLoading
                        | ServerErrorKind::ClusterDown
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::ReadOnly,
                    ) => Redirection::Elsewhere,
                    _ => unavailable,
                }
            }
        }
    }

    /// `3999 127.0.0.1:6381`; without a host it is that of the server who says so.
    fn node_of_redirection(
        &self,
        cluster: &Cluster,
        asked: &Arc<Node>,
        details: &str,
    ) -> Option<Arc<Node>> {
        let (_, address) = details.split_once(' ')?;
        let (host, port) = address.rsplit_once(':')?;
        let mut map = cluster.map.write().expect(NOBODY_PANICS);
        self.node(&mut map, asked, host, port.parse().ok()?)
    }

    fn node(&self, map: &mut Map, asked: &Arc<Node>, host: &str, port: u16) -> Option<Arc<Node>> {
        let (asked_host, _) = host_and_port(asked.server())?;
        let host = if host.is_empty() { asked_host } else { host };
        let key = (host.to_owned(), port);
        if let Some(node) = map.nodes.get(&key) {
            return Some(Arc::clone(node));
        }
        let known = |node: &&Arc<Node>| host_and_port(node.server()) == Some((host, port));
        let node = match self.seeds.iter().find(known) {
            Some(seed) => Arc::clone(seed),
            None => {
                let server = sibling(asked.server(), host, port);
                Arc::new(Node::new(server, self.connect_limit).ok()?)
            }
        };
        map.nodes.insert(key, Arc::clone(&node));
        Some(node)
    }

    fn owner(&self, slot: u16) -> Arc<Node> {
        let cluster = self.cluster.as_ref();
        let known = cluster.and_then(|cluster| {
            let map = cluster.map.read().expect(NOBODY_PANICS);
            map.slots.get(&slot).cloned()
        });
        known.unwrap_or_else(|| self.current_seed())
    }

    fn current_seed(&self) -> Arc<Node> {
        let index = self.seed.load(Ordering::Relaxed) % self.seeds.len();
        Arc::clone(&self.seeds[index])
    }

    /// Another server of the cluster, to ask for the way.
    fn elsewhere(&self, seeds_left: &mut usize) -> Result<Arc<Node>, StoreError> {
        if self.cluster.is_none() || *seeds_left == 0 {
            return Err(StoreError::Unavailable);
        }
        *seeds_left -= 1;
        self.seed.fetch_add(1, Ordering::Relaxed);
        Ok(self.current_seed())
    }

    /// Whatever `node` had may be somewhere else now.
    fn forget(&self, node: &Arc<Node>) {
        if let Some(cluster) = &self.cluster {
            let mut map = cluster.map.write().expect(NOBODY_PANICS);
            map.slots.retain(|_, owner| !Arc::ptr_eq(owner, node));
        }
    }

    /// Reads from `node` who has which slot, so that not every slot needs a redirection of its own.
    async fn read_map(&self, node: &Arc<Node>, end: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let Ok(_reading) = cluster.reading.try_lock() else {
            return;
        };
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let Ok(answers) = node.send(&[command], false, end).await else {
            return;
        };
        let [Value::Array(ranges)] = &*answers else {
            return;
        };
        let mut map = cluster.map.write().expect(NOBODY_PANICS);
        map.slots.clear();
        let mut named = HashSet::new();
        for (first, last, host, port) in ranges.iter().filter_map(range) {
            if let Some(owner) = self.node(&mut map, node, host, port) {
                named.extend(
                    host_and_port(owner.server()).map(|(host, port)| (host.to_owned(), port)),
                );
                let slots = first..=last.min(SLOTS - 1);
                map.slots
                    .extend(slots.map(|slot| (slot, Arc::clone(&owner))));
            }
        }
        map.nodes.retain(|address, _| named.contains(address));
    }
}

enum Redirection {
    /// To who has the key: for good, or for this once.
    To { owner: Arc<Node>, for_good: bool },

    /// To the same one, in a moment.
    Later,

    /// To any other: this one starts, is cut off from the rest, or has become a replica.
    Elsewhere,

    /// It is the answer.
    None(StoreError),
}

/// A line of `CLUSTER SLOTS`: first slot, last slot, and the primary before its replicas.
fn range(line: &Value) -> Option<(u16, u16, &str, u16)> {
    let Value::Array(line) = line else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(primary),
        ..,
    ] = &**line
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = &**primary else {
        return None;
    };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => "",
        _ => return None,
    };
    let number = |number: &i64| u16::try_from(*number).ok();
    Some((number(first)?, number(last)?, host, number(port)?))
}

const MAX_REDIRECTIONS: usize = 8;
const A_MOMENT: Duration = Duration::from_millis(10);
const NOBODY_PANICS: &str = "nobody panics with the lock";
