//! What may happen at the same time, and what has to hold after it.

use std::sync::Arc;

use shuttle::thread;

use crate::session::House;

/// A way to write it wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Naive {
    Nowhere,
    /// Looks at the revocations before it registers.
    ChecksFirst,
    /// Looks for the sessions of a revocation before it takes note of it.
    LooksFirst,
    /// A session whose socket never comes keeps its place.
    ForgetsThePlace,
    /// Ends what was due a moment ago.
    ExpiresBlindly,
    /// Whoever watches sees what changes while it looks, and forgets what it has seen.
    Forgets,
}

#[derive(Clone, Copy)]
pub(crate) struct Scenario(fn(Naive));

impl Scenario {
    pub(crate) fn clone_for(self, naive: Naive) -> impl Fn() + Send + Sync + 'static {
        move || (self.0)(naive)
    }
}

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("admit ‖ revoke", Scenario(admit_and_revoke)),
    ("admit and leave ‖ revoke", Scenario(open_and_revoke)),
    ("renew ‖ expire ‖ close", Scenario(renew_expire_close)),
    ("renew ‖ expire", Scenario(renew_and_expire)),
    ("renew ‖ revoke", Scenario(renew_and_revoke)),
    ("renew and close ‖ watch", Scenario(watch)),
    ("shutdown ‖ upgrade", Scenario(shutdown_and_upgrade)),
    ("places", Scenario(places)),
    ("places of one subject", Scenario(places_of_a_subject)),
];

/// Nobody is left open who was revoked.
fn admit_and_revoke(naive: Naive) {
    let house = Arc::new(House::new(naive, 10, 10));
    let revoker = spawn(&house, House::revoke);
    let guest = house.admit(100);
    if let Some(guest) = &guest {
        house.open(guest);
    }
    revoker.join().unwrap();
    if let Some(guest) = &guest {
        assert!(!guest.is_open(), "open, and revoked");
        assert_eq!(guest.cause(), Some("revoked"));
    }
    assert_eq!(house.counts(), (0, 0));
    assert!(house.admit(100).is_none(), "and nobody comes in again");
}

/// The same with a handler that goes by itself, and one that never comes.
fn open_and_revoke(naive: Naive) {
    let house = Arc::new(House::new(naive, 10, 10));
    let revoker = spawn(&house, House::revoke);
    let leaving = spawn(&house, |house| {
        if let Some(guest) = house.admit(100) {
            house.open(&guest);
            house.leave(&guest);
        }
    });
    if let Some(guest) = house.admit(100) {
        house.abandon(&guest);
    }
    revoker.join().unwrap();
    leaving.join().unwrap();
    assert_eq!(house.counts(), (0, 0));
}

/// Whatever comes first, one of them ends it, once, and a renewal that was granted before the end
/// does not bring it back.
fn renew_expire_close(naive: Naive) {
    let house = Arc::new(House::new(naive, 10, 10));
    let guest = Arc::new(house.admit(100).unwrap());
    house.open(&guest);
    let id = guest.id();
    let keeper = spawn(&house, move |house| house.attend(id, 100));
    let closer = {
        let guest = Arc::clone(&guest);
        spawn(&house, move |house| house.close(&guest))
    };
    let renewed = house.renew(&guest, 200);
    keeper.join().unwrap();
    closer.join().unwrap();
    let cause = guest.cause().expect("it was closed");
    if renewed {
        assert_eq!(cause, "application", "renewed, and expired all the same");
    }
    assert!(!house.renew(&guest, 300), "it has ended");
    assert_eq!(house.counts(), (0, 0));
}

/// Either it is renewed and lives, or it has expired and is not renewed.
fn renew_and_expire(naive: Naive) {
    let house = Arc::new(House::new(naive, 10, 10));
    let guest = house.admit(100).unwrap();
    house.open(&guest);
    let id = guest.id();
    let keeper = spawn(&house, move |house| house.attend(id, 100));
    let renewed = house.renew(&guest, 200);
    keeper.join().unwrap();
    assert_eq!(guest.is_open(), renewed);
    let live = usize::from(renewed);
    assert_eq!(house.counts(), (live, live));
}

/// A renewal does not outrun a revocation.
fn renew_and_revoke(naive: Naive) {
    let house = Arc::new(House::new(naive, 10, 10));
    let guest = house.admit(100).unwrap();
    house.open(&guest);
    let revoker = spawn(&house, House::revoke);
    house.renew(&guest, 200);
    revoker.join().unwrap();
    assert_eq!(guest.cause(), Some("revoked"));
    assert_eq!(house.counts(), (0, 0));
}

/// Who watches hears of the last renewal, and of the end after it.
fn watch(naive: Naive) {
    let house = Arc::new(House::new(naive, 10, 10));
    let guest = Arc::new(house.admit(100).unwrap());
    house.open(&guest);
    let watcher = {
        let mut changes = house.watch(&guest);
        thread::spawn(move || changes.all())
    };
    assert!(house.renew(&guest, 200) && house.renew(&guest, 300));
    house.close(&guest);
    let heard = watcher.join().unwrap().join(", ");
    let complete = ["300, application", "200, 300, application"];
    assert!(complete.contains(&&*heard), "{heard}");
}

/// Nobody is left open after a shutdown, whenever the upgrade came.
fn shutdown_and_upgrade(naive: Naive) {
    let house = Arc::new(House::new(naive, 10, 10));
    let server = spawn(&house, House::shutdown);
    let upgrade = spawn(&house, |house| {
        let guest = house.admit(100);
        if let Some(guest) = &guest {
            house.open(guest);
        }
        guest
    });
    let late = house.admit(100);
    if let Some(late) = &late {
        house.abandon(late);
    }
    server.join().unwrap();
    if let Some(guest) = upgrade.join().unwrap() {
        assert!(!guest.is_open());
    }
    assert_eq!(house.counts(), (0, 0));
    assert!(house.admit(100).is_none());
}

/// Two places, three who want one, and as many places after it as before.
fn places(naive: Naive) {
    let house = Arc::new(House::new(naive, 2, 10));
    let guests: Vec<_> = (0..3)
        .map(|index| {
            spawn(&house, move |house| {
                let guest = house.admit(100);
                let (_, taken) = house.counts();
                assert!(taken <= 2, "{taken} places are taken");
                match guest {
                    Some(guest) if index == 0 => house.abandon(&guest),
                    Some(guest) => {
                        house.open(&guest);
                        house.leave(&guest);
                    }
                    None => {}
                }
            })
        })
        .collect();
    guests.into_iter().for_each(|guest| guest.join().unwrap());
    assert_eq!(house.counts(), (0, 0));
    let both = [house.admit(100), house.admit(100)];
    assert!(both.iter().all(Option::is_some) && house.admit(100).is_none());
}

/// The same for those of one subject, who are revoked besides.
fn places_of_a_subject(naive: Naive) {
    let house = Arc::new(House::new(naive, 10, 1));
    let guests: Vec<_> = (0..2)
        .map(|_| {
            spawn(&house, |house| {
                let guest = house.admit(100);
                if let Some(guest) = &guest {
                    house.open(guest);
                    house.close(guest);
                }
            })
        })
        .collect();
    guests.into_iter().for_each(|guest| guest.join().unwrap());
    assert_eq!(house.counts(), (0, 0));
    let first = house.admit(100);
    assert!(first.is_some() && house.admit(100).is_none());
}

fn spawn<T: Send + 'static>(
    house: &Arc<House>,
    act: impl FnOnce(&House) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let house = Arc::clone(house);
    thread::spawn(move || act(&house))
}
