//! Whether the client of a socket is there.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_sink::Sink;

use super::{Inner, Slot};
use crate::session::evict::Pulse;
use crate::session::frames::{Pings, Sign};
use crate::session::sync::lock;

impl<S, M> Slot<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    /// Reads what waits, judges the silence since the last ping, and pings anew.
    ///
    /// What it reads waits for the handler, up to the first message. Signs of life that nobody has
    /// read make room, so that a handler that never reads hides nothing.
    pub(super) fn look(&self) -> Pulse {
        let Some(pings) = &self.frames.pings else {
            return Pulse::Fine;
        };
        // It is dropped when the lock is free again, since what it does then is not ours.
        let mut outdated = Vec::new();
        let mut inner = lock(&self.inner);
        let waiting = inner.early.as_deref().map(pings.sign);
        if inner.socket.is_none() || waiting == Some(Sign::Message) {
            inner.asked = false;
            return Pulse::Fine;
        }
        if inner.ended_by_client || waiting == Some(Sign::End) {
            // Nobody has come for it since the last look.
            return Pulse::Gone;
        }
        let reader = inner.reader.clone();
        let found = inner.read_ahead(reader.as_ref(), pings, &mut outdated);
        let pulse = match found {
            Found::End => Pulse::Gone,
            _ if inner.asked && !inner.heard => Pulse::Silent,
            _ => inner.ping(pings),
        };
        drop(inner);
        if let (Found::Something, Some(reader)) = (found, &reader) {
            reader.wake_by_ref();
        }
        pulse
    }

    /// Flushes the ping. Whether nothing is left to do.
    pub(super) fn flush(&self) -> bool {
        lock(&self.inner).flush().is_ready()
    }
}

/// What reading ahead finds.
#[derive(Clone, Copy)]
enum Found {
    Nothing,
    Something,
    End,
}

impl<S: Stream + Unpin> Inner<S> {
    /// Reads until something is there that the handler has to get.
    fn read_ahead(
        &mut self,
        reader: Option<&Waker>,
        pings: &Pings<S>,
        outdated: &mut Vec<Box<S::Item>>,
    ) -> Found {
        // Who waits to read stays the one that is woken.
        let mut context = Context::from_waker(reader.unwrap_or(Waker::noop()));
        let mut found = Found::Nothing;
        for _ in 0..MOST_READ {
            let Some(socket) = &mut self.socket else {
                break;
            };
            let item = match Pin::new(socket).poll_next(&mut context) {
                Poll::Pending => break,
                Poll::Ready(Some(item)) => item,
                Poll::Ready(None) => {
                    self.ended_by_client = true;
                    return Found::End;
                }
            };
            self.heard = true;
            found = Found::Something;
            let sign = (pings.sign)(&item);
            outdated.extend(self.early.replace(Box::new(item)));
            if sign != Sign::Life {
                break;
            }
        }
        found
    }

    fn ping<M>(&mut self, pings: &Pings<S>) -> Pulse
    where
        S: Sink<M>,
    {
        let Some(socket) = &mut self.socket else {
            return Pulse::Fine;
        };
        self.heard = false;
        self.asked = (pings.ping)(socket);
        match self.flush() {
            Poll::Ready(()) => Pulse::Fine,
            Poll::Pending => Pulse::Stuck,
        }
    }

    fn flush<M>(&mut self) -> Poll<()>
    where
        S: Sink<M>,
    {
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(());
        };
        // Who waits to write stays the one that is woken.
        let waker = self.writer.as_ref().unwrap_or(Waker::noop());
        let flushed = Pin::new(socket).poll_flush(&mut Context::from_waker(waker));
        // An error is for the reader, or for the next one who writes.
        flushed.map(drop)
    }
}

/// How many signs of life one look reads. A client that gives more of them between two pings looks
/// younger than it is, by the rest.
const MOST_READ: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::close::CloseFrame;
    use crate::session::Frames;
    use crate::session::evict::Evict;

    /// Says what it is told to, and may be asked if it says so.
    #[derive(Default)]
    struct Script {
        says: VecDeque<Option<Sign>>,
        has_ended: bool,
        takes_no_ping: bool,
        blocked: bool,
        pings: usize,
    }

    impl Stream for Script {
        type Item = Sign;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Sign>> {
            assert!(!self.has_ended, "polled after its end");
            let Some(said) = self.says.pop_front() else {
                return Poll::Pending;
            };
            self.has_ended = said.is_none();
            Poll::Ready(said)
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
                !script.takes_no_ping
            },
            |said| *said,
        );
        Arc::new(Slot::new(script, frames))
    }

    impl Slot<Script, ()> {
        fn says(&self, said: impl IntoIterator<Item = Option<Sign>>) {
            self.with(|script| script.says.extend(said));
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

    /// Whether a handler reads all that is said before a look, what the client says before each, and
    /// what each finds.
    type Row = (bool, &'static [&'static [Option<Sign>]], &'static [Pulse]);

    #[test]
    fn looks() {
        use Pulse::{Fine, Gone, Silent};
        #[rustfmt::skip]
        let rows: &[Row] = &[
            (true,  &[&[], &[]], &[Fine, Silent]),
            (false, &[&[], &[]], &[Fine, Silent]),
            (true,  &[&[], &[Some(Life)], &[]], &[Fine, Fine, Silent]),
            (false, &[&[], &[Some(Life)], &[]], &[Fine, Fine, Silent]),
            (false, &[&[], &[Some(Life); 16], &[]], &[Fine, Fine, Silent]),
            (false, &[&[], &[Some(Life); 17], &[], &[]], &[Fine, Fine, Fine, Silent]),
            (true,  &[&[], &[Some(Message)], &[]], &[Fine, Fine, Silent]),
            (false, &[&[], &[Some(Message)], &[], &[]], &[Fine, Fine, Fine, Fine]),
            (false, &[&[], &[Some(Life), Some(Message), None], &[], &[]], &[Fine, Fine, Fine, Fine]),
            (false, &[&[], &[Some(End)], &[]], &[Fine, Fine, Gone]),
            (false, &[&[], &[Some(Life), Some(End), None], &[]], &[Fine, Fine, Gone]),
            (false, &[&[], &[None]], &[Fine, Gone]),
            (true,  &[&[], &[None]], &[Fine, Gone]),
            (false, &[&[], &[Some(Life), None]], &[Fine, Gone]),
        ];
        for (reads, says, expected) in rows {
            let slot = slot(Script::default());
            let looks = says.iter().map(|said| {
                slot.says(said.iter().copied());
                while *reads && matches!(slot.read(Waker::noop()), Poll::Ready(Some(_))) {}
                slot.look()
            });
            let looks: Vec<_> = looks.collect();
            assert_eq!(looks, *expected, "reads: {reads}, {says:?}");
        }
    }

    /// Nothing of what is read ahead is lost, and who waits for it hears of it.
    #[test]
    fn the_reader_gets_what_is_read_ahead() {
        let slot = slot(Script::default());
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        assert_eq!(slot.read(&waker), Poll::Pending);
        slot.look();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        slot.says([Some(Message), Some(Message), Some(End), None]);
        slot.look();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let all = [Some(Message), Some(Message), Some(End), None];
        for said in all {
            assert_eq!(slot.read(&waker), Poll::Ready(said));
        }
    }

    /// A socket that cannot be asked is not judged, and one that has ended is not polled again.
    #[test]
    fn what_a_socket_cannot_do() {
        let deaf = slot(Script {
            takes_no_ping: true,
            ..Script::default()
        });
        assert_eq!([deaf.look(), deaf.look(), deaf.look()], [Pulse::Fine; 3]);
        assert_eq!(deaf.with(|script| script.pings), Some(3));

        let blocked = slot(Script {
            blocked: true,
            ..Script::default()
        });
        assert_eq!(blocked.look(), Pulse::Stuck);
        assert!(!blocked.flush());
        blocked.with(|script| script.blocked = false);
        assert!(blocked.flush());

        let ended = slot(Script::default());
        ended.says([None]);
        assert_eq!(ended.look(), Pulse::Gone);
        let mut closing = ended.evict(CloseFrame::new(1000, ""));
        let closed = closing
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(closed.is_ready());
        assert_eq!(ended.look(), Pulse::Fine, "it was taken out");
        assert!(ended.flush());
    }
}
