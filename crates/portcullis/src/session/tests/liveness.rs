//! Checks whether the client of a socket is alive.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_core::Stream;
use futures_sink::Sink;

use crate::close::{CloseCause, CloseCodes};
use crate::session::slot::{Liveness, SessionStream, Slot};
use crate::session::{Frames, Sign};

/// A socket that returns the given items, and pends after them.
#[derive(Default)]
struct Script {
    items: VecDeque<Option<Sign>>,
    has_ended: bool,
    ignores_pings: bool,
    blocked: bool,
    pings: usize,
}

impl Stream for Script {
    type Item = Sign;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Sign>> {
        assert!(!self.has_ended, "polled after its end");
        let Some(item) = self.items.pop_front() else {
            return Poll::Pending;
        };
        self.has_ended = item.is_none();
        Poll::Ready(item)
    }
}

impl Sink<()> for Script {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, (): ()) -> Result<(), Self::Error> {
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self.blocked {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.poll_flush(context)
    }
}

fn slot(script: Script) -> Arc<Slot<Script, ()>> {
    let frames = Frames::new(|_| ()).pings(
        |script: &mut Script| {
            script.pings += 1;
            !script.ignores_pings
        },
        |item| *item,
    );
    Arc::new(Slot::new(script, frames))
}

impl Slot<Script, ()> {
    fn send(&self, items: impl IntoIterator<Item = Option<Sign>>) {
        self.with(|script| script.items.extend(items));
    }

    fn read(&self, waker: &Waker) -> Poll<Option<Sign>> {
        self.poll_next(&mut Context::from_waker(waker))
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

use Sign::{End, Life, Message};

/// Whether the handler reads everything before each check, what the client sends before each check,
/// and the result of each check.
type Row = (
    bool,
    &'static [&'static [Option<Sign>]],
    &'static [Liveness],
);

#[test]
fn clients_are_checked() {
    use Liveness::{Alive, Disconnected, Silent};
    #[rustfmt::skip]
    let rows: &[Row] = &[
        (true,  &[&[], &[]], &[Alive, Silent]),
        (false, &[&[], &[]], &[Alive, Silent]),
        (true,  &[&[], &[Some(Life)], &[]], &[Alive, Alive, Silent]),
        (false, &[&[], &[Some(Life)], &[]], &[Alive, Alive, Silent]),
        (false, &[&[], &[Some(Life); 16], &[]], &[Alive, Alive, Silent]),
        (false, &[&[], &[Some(Life); 17], &[], &[]], &[Alive, Alive, Alive, Silent]),
        (true,  &[&[], &[Some(Message)], &[]], &[Alive, Alive, Silent]),
        (false, &[&[], &[Some(Message)], &[], &[]], &[Alive, Alive, Alive, Alive]),
        (false, &[&[], &[Some(Life), Some(Message), None], &[], &[]], &[Alive, Alive, Alive, Alive]),
        (false, &[&[], &[Some(End)], &[]], &[Alive, Alive, Disconnected]),
        (false, &[&[], &[Some(Life), Some(End), None], &[]], &[Alive, Alive, Disconnected]),
        (false, &[&[], &[None]], &[Alive, Disconnected]),
        (true,  &[&[], &[None]], &[Alive, Disconnected]),
        (false, &[&[], &[Some(Life), None]], &[Alive, Disconnected]),
    ];
    for (reads, sent, expected) in rows {
        let slot = slot(Script::default());
        let checks = sent.iter().map(|items| {
            slot.send(items.iter().copied());
            while *reads && matches!(slot.read(Waker::noop()), Poll::Ready(Some(_))) {}
            slot.check()
        });
        let checks: Vec<_> = checks.collect();
        assert_eq!(checks, *expected, "reads: {reads}, {sent:?}");
    }
}

/// Items that are read ahead are not lost, and a reader that waits is woken.
#[test]
fn readers_get_items_that_are_read_ahead() {
    let slot = slot(Script::default());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    assert_eq!(slot.read(&waker), Poll::Pending);
    slot.check();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    slot.send([Some(Message), Some(Message), Some(End), None]);
    slot.check();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    let all = [Some(Message), Some(Message), Some(End), None];
    for item in all {
        assert_eq!(slot.read(&waker), Poll::Ready(item));
    }
}

/// A client that does not have to answer a ping is never silent, a ping that is not sent is flushed
/// later, and a socket that has ended is not polled again.
#[test]
fn sockets_are_not_asked_for_the_impossible() {
    let unpinged = slot(Script {
        ignores_pings: true,
        ..Script::default()
    });
    assert_eq!(
        [unpinged.check(), unpinged.check(), unpinged.check()],
        [Liveness::Alive; 3]
    );
    assert_eq!(unpinged.with(|script| script.pings), Some(3));

    let blocked = slot(Script {
        blocked: true,
        ..Script::default()
    });
    assert_eq!(blocked.check(), Liveness::PingUnsent);
    assert!(!blocked.flush_ping());
    blocked.with(|script| script.blocked = false);
    assert!(blocked.flush_ping());

    let ended = slot(Script::default());
    ended.send([None]);
    assert_eq!(ended.check(), Liveness::Disconnected);
    let mut closing = ended.end(&CloseCause::Client, &CloseCodes::registered());
    let closed = closing
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(closed.is_ready());
    assert_eq!(ended.check(), Liveness::Alive, "the socket was taken out");
    assert!(ended.flush_ping());
}
