mod pulse;

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_sink::Sink;

use super::evict::{Evict, Pulse};
use super::frames::{Frames, Sign};
use super::sync::{Mutex, MutexGuard, lock};
use crate::close::CloseFrame;

/// Where the socket of a session is: in here, or taken out for good.
///
/// The handler polls through it, so that the registry can take the socket out between two polls
/// whatever the handler does. The two wakers are our own, since the socket takes along the ones it
/// was polled with. Nothing is woken or dropped under the lock.
pub(super) struct Slot<S: Stream, M> {
    inner: Mutex<Inner<S>>,
    frames: Frames<S, M>,
}

struct Inner<S: Stream> {
    socket: Option<S>,
    /// What a look at the socket found, for the handler's next one.
    early: Option<Box<S::Item>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    ended_by_client: bool,
    /// Whether the client has said anything since it was asked.
    heard: bool,
    /// Whether it has a ping to answer.
    asked: bool,
}

/// The two halves of a socket, which may be in different tasks.
#[derive(Clone, Copy)]
enum Half {
    Reader,
    Writer,
}

impl<S, M> Slot<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    /// A slot with `socket`, which is looked at once: what hyper has buffered of the handshake is
    /// freed by the first read and not before, also under a handler that only writes.
    ///
    /// What the socket has to answer to that, such as a close, is sent here, too. A handler that
    /// writes first finds the socket closed, and may let go of it without a look.
    pub(super) fn new(mut socket: S, frames: Frames<S, M>) -> Self {
        let mut context = Context::from_waker(Waker::noop());
        let (early, ended_by_client) = match Pin::new(&mut socket).poll_next(&mut context) {
            Poll::Ready(Some(item)) => {
                // An error is for the reader, or for the next one who writes.
                let _ = Pin::new(&mut socket).poll_flush(&mut context);
                let sign = frames.pings.as_ref().map(|pings| (pings.sign)(&item));
                (Some(Box::new(item)), sign == Some(Sign::End))
            }
            Poll::Ready(None) => (None, true),
            Poll::Pending => (None, false),
        };
        Self {
            inner: Mutex::new(Inner {
                socket: Some(socket),
                early,
                reader: None,
                writer: None,
                ended_by_client,
                heard: false,
                asked: false,
            }),
            frames,
        }
    }

    #[inline(always)]
    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut inner = lock(&self.inner);
        if inner.early.is_some() {
            return Poll::Ready(inner.early.take().map(|early| *early));
        }
        let Some(socket) = &mut inner.socket else {
            return Poll::Ready(None);
        };
        let poll = Pin::new(socket).poll_next(context);
        match &poll {
            Poll::Pending => park(inner, Half::Reader, context.waker()),
            Poll::Ready(None) => inner.ended_by_client = true,
            Poll::Ready(Some(_)) => inner.heard = true,
        }
        poll
    }

    /// Polls the socket for writing; `None` if it was taken out.
    #[inline]
    pub(super) fn poll_write<T>(
        &self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        let mut inner = lock(&self.inner);
        let Some(socket) = &mut inner.socket else {
            return Poll::Ready(None);
        };
        let poll = write(Pin::new(socket), context);
        if poll.is_pending() {
            park(inner, Half::Writer, context.waker());
        }
        poll.map(Some)
    }

    /// Sends without waiting for room, and flushes as far as it goes.
    ///
    /// A writer of the handler's that is parked stays the one that is woken: it flushes what is in
    /// front of its own message, too.
    pub(super) fn send_beside(&self, context: &mut Context<'_>, message: M) {
        let mut inner = lock(&self.inner);
        let parked = inner.writer.clone();
        let Some(socket) = &mut inner.socket else {
            return;
        };
        let mut socket = Pin::new(socket);
        if socket.as_mut().start_send(message).is_err() {
            return;
        }
        let waker = parked.as_ref().unwrap_or(context.waker());
        let flushed = socket.poll_flush(&mut Context::from_waker(waker));
        if flushed.is_pending() && parked.is_none() {
            park(inner, Half::Writer, context.waker());
        }
    }

    /// Works with the socket; `None` if it was taken out.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut S) -> T) -> Option<T> {
        lock(&self.inner).socket.as_mut().map(work)
    }

    /// Whether there is nothing more to read: `ended` says whether that is so of the socket.
    pub(super) fn is_terminated(&self, ended: impl FnOnce(&S) -> bool) -> bool {
        let inner = lock(&self.inner);
        inner.early.is_none() && inner.socket.as_ref().is_none_or(ended)
    }

    /// Whether the client has ended it.
    pub(super) fn is_ended_by_client(&self) -> bool {
        lock(&self.inner).ended_by_client
    }

    /// Takes note that the client has ended it, which only who reads the messages can tell.
    pub(super) fn end_by_client(&self) {
        lock(&self.inner).ended_by_client = true;
    }

    /// Takes the socket out. Who waited for it is woken, and finds that it is gone.
    pub(super) fn take(&self) -> Option<S> {
        let mut inner = lock(&self.inner);
        let socket = inner.socket.take();
        let early = inner.early.take();
        let wakers = [mem::take(&mut inner.reader), mem::take(&mut inner.writer)];
        drop(inner);
        drop(early);
        wakers.into_iter().flatten().for_each(Waker::wake);
        socket
    }
}

/// Remembers who waits for the socket. It is nearly always who waited before.
#[inline]
fn park<S: Stream>(mut inner: MutexGuard<'_, Inner<S>>, half: Half, waker: &Waker) {
    let place = match half {
        Half::Reader => &mut inner.reader,
        Half::Writer => &mut inner.writer,
    };
    if place.as_ref().is_some_and(|known| known.will_wake(waker)) {
        return;
    }
    let replaced = place.replace(waker.clone());
    drop(inner);
    drop(replaced);
}

impl<S, M> Evict for Slot<S, M>
where
    S: Stream + Sink<M> + Send + Unpin + 'static,
    S::Item: Send,
    M: Send + 'static,
{
    fn evict(&self, frame: CloseFrame) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let answers = !self.is_ended_by_client();
        let Some(socket) = self.take() else {
            return Box::pin(std::future::ready(()));
        };
        Box::pin(close(socket, (self.frames.close)(frame), answers))
    }

    fn look(&self) -> Pulse {
        Slot::look(self)
    }

    fn flush(&self) -> bool {
        Slot::flush(self)
    }
}

/// Sends the frame behind what is still on its way, and reads until the client has answered it. One
/// that has ended has nothing to answer, and its socket may not be one to read from.
///
/// It has no limit of its own: a client that does not read, or never answers, is dropped by who
/// polls this.
async fn close<S, M>(mut socket: S, frame: M, answers: bool)
where
    S: Stream + Sink<M> + Unpin,
{
    let sent = async {
        poll_fn(|context| Pin::new(&mut socket).poll_ready(context)).await?;
        Pin::new(&mut socket).start_send(frame)?;
        poll_fn(|context| Pin::new(&mut socket).poll_flush(context)).await
    };
    if sent.await.is_err() || !answers {
        return;
    }
    while poll_fn(|context| Pin::new(&mut socket).poll_next(context))
        .await
        .is_some()
    {}
}

impl<S: Stream, M> fmt::Debug for Slot<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}
