use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::counts::Counts;

/// How many sockets may be pending: opened, but their client has not authenticated yet.
///
/// A socket beyond the total limit is refused with 503, one beyond the limit of its address with
/// 429.
///
/// The server has to know the addresses of its clients. axum does with
/// `into_make_service_with_connect_info::<SocketAddr>()`. Behind a proxy, every client has the
/// proxy's address. In IPv6, a network of 64 bits counts as one address.
///
/// ```
/// use portcullis::dialect::PendingLimits;
///
/// let limits = PendingLimits::default().total(1_000).per_address(20);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PendingLimits {
    total: usize,
    per_address: usize,
}

impl PendingLimits {
    /// Sets the limit for all clients together; 4,096 by default.
    #[must_use]
    pub fn total(mut self, limit: usize) -> Self {
        self.total = limit;
        self
    }

    /// Sets the limit for one address; 256 by default.
    #[must_use]
    pub fn per_address(mut self, limit: usize) -> Self {
        self.per_address = limit;
        self
    }
}

impl Default for PendingLimits {
    fn default() -> Self {
        Self {
            total: 4096,
            per_address: 256,
        }
    }
}

/// Counts the pending sockets of one layer.
#[derive(Debug, Default)]
pub(crate) struct PendingSockets {
    open: Mutex<Open>,
    limits: PendingLimits,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    addresses: Counts<IpAddr>,
}

/// Which limit refuses another pending socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PendingRefused {
    Total,
    Address,
}

impl PendingSockets {
    pub(crate) fn new(limits: PendingLimits) -> Self {
        Self {
            open: Mutex::default(),
            limits,
        }
    }

    /// Counts one more socket, until the last clone of the permit is dropped.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
    ) -> Result<PendingPermit, PendingRefused> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.limits.total {
            return Err(PendingRefused::Total);
        }
        let address = peer.map(network);
        if let Some(address) = address
            && !open.addresses.try_add(address, self.limits.per_address)
        {
            return Err(PendingRefused::Address);
        }
        open.total += 1;
        Ok(PendingPermit(Arc::new(Counted {
            sockets: Arc::clone(self),
            address,
            opened: AtomicBool::new(false),
        })))
    }
}

/// Returns the network that counts as one address. A client with one IPv6 address usually has all
/// 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    const INTERFACE: u128 = u64::MAX as u128;

    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !INTERFACE).into(),
        address => address,
    }
}

/// The permit of one pending socket.
#[derive(Clone)]
pub(crate) struct PendingPermit(Arc<Counted>);

struct Counted {
    sockets: Arc<PendingSockets>,
    address: Option<IpAddr>,
    opened: AtomicBool,
}

impl PendingPermit {
    /// Records that the pending socket is being opened.
    pub(crate) fn open(&self) {
        self.0.opened.store(true, Ordering::Release);
    }

    /// Returns whether the handler has opened the pending socket.
    pub(crate) fn is_opened(&self) -> bool {
        self.0.opened.load(Ordering::Acquire)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let open = self.sockets.open.lock();
        let mut open = open.unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(address) = &self.address {
            open.addresses.remove(address);
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
    fn dropped_permits_are_free_again() {
        let pending = Arc::new(PendingSockets::new(
            PendingLimits::default().total(3).per_address(2),
        ));
        let peer = |last| Some(IpAddr::from([127, 0, 0, last]));
        let first = pending.acquire(peer(1)).unwrap();
        let _second = pending.acquire(peer(1)).unwrap();
        assert_eq!(
            pending.acquire(peer(1)).err(),
            Some(PendingRefused::Address)
        );
        let _third = pending.acquire(peer(2)).unwrap();
        assert_eq!(pending.acquire(None).err(), Some(PendingRefused::Total));
        let clone = first.clone();
        drop(first);
        assert_eq!(pending.acquire(None).err(), Some(PendingRefused::Total));
        drop(clone);
        let _fourth = pending.acquire(peer(1)).unwrap();
    }

    #[test]
    fn refused_addresses_leave_no_entry() {
        let pending = Arc::new(PendingSockets::new(
            PendingLimits::default().total(2).per_address(0),
        ));
        for last in 1..4 {
            let refused = pending.acquire(Some(IpAddr::from([192, 0, 2, last])));
            assert_eq!(refused.unwrap_err(), PendingRefused::Address);
        }
        let open = pending.open.lock().unwrap();
        assert_eq!((open.total, open.addresses.keys()), (0, 0));
    }

    #[test]
    fn addresses_of_one_network_count_together() {
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
