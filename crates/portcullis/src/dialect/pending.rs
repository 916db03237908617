use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the sockets whose client has not said who it is.
#[derive(Debug)]
pub(crate) struct Pending {
    counts: Mutex<Counts>,
    limit: usize,
    limit_per_peer: usize,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    peers: HashMap<IpAddr, usize>,
}

/// There is no room for another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PendingRefused {
    Full,
    PeerFull,
}

impl Pending {
    pub(crate) fn new(limit: usize, limit_per_peer: usize) -> Self {
        Self {
            counts: Mutex::default(),
            limit,
            limit_per_peer,
        }
    }

    /// A place, which is given back when the last clone of the permit is dropped.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
    ) -> Result<PendingPermit, PendingRefused> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= self.limit {
            return Err(PendingRefused::Full);
        }
        let peer = peer.map(network);
        if let Some(peer) = peer {
            // Nothing is kept of who is refused, also if nobody is to be let in.
            if counts.peers.get(&peer).copied().unwrap_or(0) >= self.limit_per_peer {
                return Err(PendingRefused::PeerFull);
            }
            *counts.peers.entry(peer).or_default() += 1;
        }
        counts.total += 1;
        Ok(PendingPermit(Arc::new(Place {
            pending: Arc::clone(self),
            peer,
            opened: AtomicBool::new(false),
        })))
    }
}

/// Whom an address stands for. Whoever has one of IPv6 has the 2^64 beside it, too.
fn network(address: IpAddr) -> IpAddr {
    const INTERFACE: u128 = u64::MAX as u128;

    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !INTERFACE).into(),
        address => address,
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self::new(4096, 256)
    }
}

/// The place of one pending socket.
#[derive(Clone)]
pub(crate) struct PendingPermit(Arc<Place>);

struct Place {
    pending: Arc<Pending>,
    peer: Option<IpAddr>,
    opened: AtomicBool,
}

impl PendingPermit {
    /// A socket is opened that asks its client who it is.
    pub(crate) fn open(&self) {
        self.0.opened.store(true, Ordering::Release);
    }

    /// Whether somebody has opened such a socket.
    pub(crate) fn is_opened(&self) -> bool {
        self.0.opened.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self
            .pending
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        let Some(peer) = self.peer else { return };
        if let Some(count) = counts.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                counts.peers.remove(&peer);
            }
        }
    }
}

impl fmt::Debug for PendingPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingPermit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let pending = Arc::new(Pending::new(3, 2));
        let peer = |last| Some(IpAddr::from([127, 0, 0, last]));
        let first = pending.acquire(peer(1)).unwrap();
        let _second = pending.acquire(peer(1)).unwrap();
        assert_eq!(
            pending.acquire(peer(1)).err(),
            Some(PendingRefused::PeerFull)
        );
        let _third = pending.acquire(peer(2)).unwrap();
        assert_eq!(pending.acquire(None).err(), Some(PendingRefused::Full));
        let clone = first.clone();
        drop(first);
        assert_eq!(pending.acquire(None).err(), Some(PendingRefused::Full));
        drop(clone);
        let _fourth = pending.acquire(peer(1)).unwrap();
    }

    #[test]
    fn nothing_is_kept_of_who_is_refused() {
        let pending = Arc::new(Pending::new(2, 0));
        for last in 1..4 {
            let refused = pending.acquire(Some(IpAddr::from([192, 0, 2, last])));
            assert_eq!(refused.unwrap_err(), PendingRefused::PeerFull);
        }
        let counts = pending.counts.lock().unwrap();
        assert_eq!((counts.total, counts.peers.len()), (0, 0));
    }

    #[test]
    fn who_counts_as_one() {
        let rows = [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("127.0.0.1", "::1", false),
        ];
        for (one, other, expected) in rows {
            let [a, b] = [one, other].map(|text| network(text.parse().unwrap()));
            assert_eq!(a == b, expected, "{one} {other}");
        }
    }
}
