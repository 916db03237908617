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
use crate::node::{Node, SendError};
use crate::slot::{SLOTS, slot_of};

/// One server, or the servers of a cluster.
///
/// The cluster client of the redis crate sends a command again if its response is lost. For tickets
/// that is wrong, since the first command may have minted or redeemed the ticket. This client only
/// repeats a command that a server has redirected, and therefore not executed. It uses primaries
/// only.
#[derive(Debug)]
pub(crate) struct Servers {
    seeds: Vec<Arc<Node>>,
    /// The index of the seed that is tried first.
    seed: AtomicUsize,
    cluster: Option<Cluster>,
    connect_limit: Duration,
}

#[derive(Debug)]
struct Cluster {
    map: RwLock<SlotMap>,
    /// Held by the task that reads the map, so that there is only one.
    reading: Mutex<()>,
}

/// The owners of the slots, as far as they are known.
#[derive(Debug, Default)]
struct SlotMap {
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

    /// Sends commands to the server that owns `key`. Returns that server and the responses.
    pub(crate) async fn send(
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
            let responses = match node.send(commands, asking, end).await {
                Ok(responses) => responses,
                Err(SendError::NoResponse) => {
                    self.forget(&node);
                    return Err(StoreError::Unavailable);
                }
                Err(SendError::NotSent) => {
                    self.forget(&node);
                    node = self.next_seed(&mut seeds_left)?;
                    asking = false;
                    continue;
                }
            };
            let error = responses.iter().find_map(|response| match response {
                Value::ServerError(error) => Some(error),
                _ => None,
            });
            let Some(error) = error else {
                return Ok((node, responses));
            };
            match self.next_step(slot, &node, error) {
                NextStep::Ask { owner, is_moved } if redirections_left > 0 => {
                    redirections_left -= 1;
                    if is_moved {
                        self.read_map(&node, end).await;
                    }
                    (node, asking) = (owner, !is_moved);
                }
                NextStep::Retry if Instant::now() < end => {
                    sleep_until(end.min(Instant::now() + RETRY_DELAY)).await;
                }
                NextStep::AskAnother => {
                    self.forget(&node);
                    node = self.next_seed(&mut seeds_left)?;
                    asking = false;
                }
                NextStep::Ask { .. } | NextStep::Retry => {
                    return Err(StoreError::Unavailable);
                }
                NextStep::Fail(error) => return Err(error),
            }
        }
    }

    fn next_step(&self, slot: u16, node: &Arc<Node>, error: &ServerError) -> NextStep {
        let unavailable = NextStep::Fail(StoreError::Unavailable);
        match (error.kind(), &self.cluster) {
            (Some(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)), Some(cluster)) => {
                let details = error.details().unwrap_or_default();
                let is_moved = kind == ServerErrorKind::Moved;
                match self.redirection_target(cluster, node, details) {
                    Some(owner) => {
                        if is_moved {
                            let mut map = cluster.map.write().expect(NOT_POISONED);
                            map.slots.insert(slot, Arc::clone(&owner));
                        }
                        NextStep::Ask { owner, is_moved }
                    }
                    None => unavailable,
                }
            }
            // While a slot migrates, its keys are on two servers.
            (Some(ServerErrorKind::TryAgain), Some(_)) => NextStep::Retry,
            (None, _) if error.code() == "OOM" => NextStep::Fail(StoreError::Full),
            (kind, _) => {
                let server = node.server().addr();
                tracing::debug!(%server, code = error.code(), "Redis refused a command");
                match kind {
                    Some(
                        ServerErrorKind::BusyLoading
                        | ServerErrorKind::ClusterDown
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::ReadOnly,
                    ) => NextStep::AskAnother,
                    _ => unavailable,
                }
            }
        }
    }

    /// Parses details such as `3999 127.0.0.1:6381`. An empty host stands for the host of `asked`.
    fn redirection_target(
        &self,
        cluster: &Cluster,
        asked: &Arc<Node>,
        details: &str,
    ) -> Option<Arc<Node>> {
        let (_, address) = details.split_once(' ')?;
        let (host, port) = address.rsplit_once(':')?;
        let mut map = cluster.map.write().expect(NOT_POISONED);
        self.node(&mut map, asked, host, port.parse().ok()?)
    }

    fn node(
        &self,
        map: &mut SlotMap,
        asked: &Arc<Node>,
        host: &str,
        port: u16,
    ) -> Option<Arc<Node>> {
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
            let map = cluster.map.read().expect(NOT_POISONED);
            map.slots.get(&slot).cloned()
        });
        known.unwrap_or_else(|| self.current_seed())
    }

    fn current_seed(&self) -> Arc<Node> {
        let index = self.seed.load(Ordering::Relaxed) % self.seeds.len();
        Arc::clone(&self.seeds[index])
    }

    /// Returns another seed of the cluster, which can redirect the command.
    fn next_seed(&self, seeds_left: &mut usize) -> Result<Arc<Node>, StoreError> {
        if self.cluster.is_none() || *seeds_left == 0 {
            return Err(StoreError::Unavailable);
        }
        *seeds_left -= 1;
        self.seed.fetch_add(1, Ordering::Relaxed);
        Ok(self.current_seed())
    }

    /// Removes `node` as the owner of slots, since they may have another owner now.
    fn forget(&self, node: &Arc<Node>) {
        if let Some(cluster) = &self.cluster {
            let mut map = cluster.map.write().expect(NOT_POISONED);
            map.slots.retain(|_, owner| !Arc::ptr_eq(owner, node));
        }
    }

    /// Reads the owners of all slots from `node`, which saves a redirection for every slot.
    async fn read_map(&self, node: &Arc<Node>, end: Instant) {
        let Some(cluster) = &self.cluster else { return };
        let Ok(_reading) = cluster.reading.try_lock() else {
            return;
        };
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let Ok(responses) = node.send(&[command], false, end).await else {
            return;
        };
        let [Value::Array(ranges)] = &*responses else {
            return;
        };
        let mut map = cluster.map.write().expect(NOT_POISONED);
        map.slots.clear();
        let mut owners = HashSet::new();
        for (first, last, host, port) in ranges.iter().filter_map(parse_range) {
            if let Some(owner) = self.node(&mut map, node, host, port) {
                owners.extend(
                    host_and_port(owner.server()).map(|(host, port)| (host.to_owned(), port)),
                );
                let slots = first..=last.min(SLOTS - 1);
                map.slots
                    .extend(slots.map(|slot| (slot, Arc::clone(&owner))));
            }
        }
        map.nodes.retain(|address, _| owners.contains(address));
    }
}

/// What to do after an error of a server.
enum NextStep {
    /// Send the command to the owner of the key, with `ASKING` unless the slot has moved there.
    Ask { owner: Arc<Node>, is_moved: bool },

    /// Send the command to the same server again, after a delay.
    Retry,

    /// Send the command to another server, because this one is loading its data, has lost the
    /// majority of the cluster, or is a replica.
    AskAnother,

    /// Return the error.
    Fail(StoreError),
}

/// Parses an element of `CLUSTER SLOTS`: first slot, last slot, primary, replicas.
fn parse_range(range: &Value) -> Option<(u16, u16, &str, u16)> {
    let Value::Array(range) = range else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(primary),
        ..,
    ] = &**range
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
const RETRY_DELAY: Duration = Duration::from_millis(10);
const NOT_POISONED: &str = "no code panics while it holds the lock";
