//! The stream of a session, which the session can take away from its handler.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_sink::Sink;
use futures_util::future::BoxFuture;

use super::guarded::{Frames, Pings, Sign};
use super::sync::{Mutex, MutexGuard, lock};
use crate::close::{CloseCause, CloseCodes};

/// A stream that a session can end.
///
/// The registry and the tasks see streams only through this trait. [`Slot`] implements it for the
/// sockets of WebSocket crates. Another kind of long-lived stream, such as a response body, needs
/// an implementation of its own.
pub(super) trait SessionStream: fmt::Debug + Send + Sync {
    /// Takes the stream away from its handler, at once. The returned future ends the stream
    /// politely: it sends the cause to the client and waits for the answer. Dropping the future
    /// drops the stream.
    fn end(&self, cause: &CloseCause, codes: &CloseCodes) -> BoxFuture<'static, ()>;

    /// Checks whether the client is alive, and sends it a ping.
    fn check(&self) -> Liveness;

    /// Continues to send the ping. Returns whether all of it is sent.
    fn flush_ping(&self) -> bool;

    /// Reads once, unless the handler has read before. Does nothing by default, for streams that do
    /// not read.
    fn read_first(&self) {}
}

/// The result of [`SessionStream::check`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Liveness {
    /// The client is alive, or has time until the next check.
    Alive,

    /// Like `Alive`, but a part of the ping waits to be [sent](SessionStream::flush_ping).
    PingUnsent,

    /// Nothing has arrived since the last ping.
    Silent,

    /// The client has disconnected, and the handler has not noticed.
    Disconnected,
}

/// The place of a session's socket until the session takes it out.
///
/// The handler polls the socket through the slot, so the session can take the socket out between
/// two polls, whatever the handler does. The slot stores the wakers of both halves itself, because
/// those that the socket has stored leave with the socket. Nothing is woken or dropped under the
/// lock.
pub(super) struct Slot<S: Stream, M> {
    inner: Mutex<Inner<S>>,
    frames: Frames<S, M>,
    /// Reads once and sends the answer, for code that does not know that the socket is a sink.
    read_once: fn(&mut S) -> Poll<Option<S::Item>>,
}

struct Inner<S: Stream> {
    socket: Option<S>,
    /// Whether nothing has read from the socket yet.
    unread: bool,
    /// An item that was read before the handler asked for it.
    read_ahead: Option<Box<S::Item>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    ended_by_client: bool,
    /// Whether anything has arrived since the last ping.
    heard: bool,
    /// Whether the client has to answer a ping.
    pinged: bool,
}

/// The halves of a socket, which can be in different tasks.
#[derive(Clone, Copy)]
enum Half {
    Reader,
    Writer,
}

impl<S: Stream, M> Slot<S, M> {
    /// Calls `work` with the socket; `None` if the socket was taken out.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut S) -> T) -> Option<T> {
        lock(&self.inner).socket.as_mut().map(work)
    }

    /// Returns whether there is nothing more to read. `is_terminated` is called with the socket.
    pub(super) fn is_terminated(&self, is_terminated: impl FnOnce(&S) -> bool) -> bool {
        let inner = lock(&self.inner);
        inner.read_ahead.is_none() && inner.socket.as_ref().is_none_or(is_terminated)
    }

    /// Returns whether the client has ended the connection.
    pub(super) fn is_ended_by_client(&self) -> bool {
        lock(&self.inner).ended_by_client
    }

    /// Records that the client has ended the connection. Only a reader that understands the
    /// messages knows this.
    #[cfg(feature = "axum")]
    pub(super) fn end_by_client(&self) {
        lock(&self.inner).ended_by_client = true;
    }

    /// Reads once, unless the handler has read before: hyper frees its buffer of the handshake at the
    /// first read, which a handler that only writes never does.
    ///
    /// If the item needs an answer, such as a close frame, the answer is sent here.
    pub(super) fn read_first(&self) {
        self.read_first_of(&mut lock(&self.inner));
    }

    fn read_first_of(&self, inner: &mut Inner<S>) {
        let Some(socket) = inner.socket.as_mut().filter(|_| inner.unread) else {
            return;
        };
        inner.unread = false;
        match (self.read_once)(socket) {
            Poll::Ready(Some(item)) => {
                let sign = self.frames.pings.as_ref().map(|pings| (pings.sign)(&item));
                inner.ended_by_client = sign == Some(Sign::End);
                inner.read_ahead = Some(Box::new(item));
            }
            Poll::Ready(None) => inner.ended_by_client = true,
            Poll::Pending => {}
        }
    }

    /// Takes the socket out, and wakes both halves.
    pub(super) fn take(&self) -> Option<S> {
        let mut inner = lock(&self.inner);
        let socket = inner.socket.take();
        let read_ahead = inner.read_ahead.take();
        let wakers = [mem::take(&mut inner.reader), mem::take(&mut inner.writer)];
        drop(inner);
        drop(read_ahead);
        wakers.into_iter().flatten().for_each(Waker::wake);
        socket
    }
}

impl<S, M> Slot<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    pub(super) fn new(socket: S, frames: Frames<S, M>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                socket: Some(socket),
                unread: true,
                read_ahead: None,
                reader: None,
                writer: None,
                ended_by_client: false,
                heard: false,
                pinged: false,
            }),
            frames,
            read_once: |socket| {
                let mut context = Context::from_waker(Waker::noop());
                let read = Pin::new(&mut *socket).poll_next(&mut context);
                if let Poll::Ready(Some(_)) = &read {
                    // The handler gets an error at its next read or write.
                    let _ = Pin::new(socket).poll_flush(&mut context);
                }
                read
            },
        }
    }

    #[inline(always)]
    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut inner = lock(&self.inner);
        if inner.read_ahead.is_some() {
            return Poll::Ready(inner.read_ahead.take().map(|item| *item));
        }
        let Some(socket) = &mut inner.socket else {
            return Poll::Ready(None);
        };
        let poll = Pin::new(socket).poll_next(context);
        inner.unread = false;
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
        if inner.unread {
            // A client that has closed already gets the answer to its close, and no message.
            self.read_first_of(&mut inner);
        }
        let Some(socket) = &mut inner.socket else {
            return Poll::Ready(None);
        };
        let poll = write(Pin::new(socket), context);
        if poll.is_pending() {
            park(inner, Half::Writer, context.waker());
        }
        poll.map(Some)
    }

    /// Sends a message without waiting for capacity, and flushes as far as possible.
    ///
    /// If the handler waits to write, its waker stays in place: it flushes everything before its
    /// own message.
    #[cfg(feature = "dialects")]
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
}

/// The result of reading ahead.
#[derive(Clone, Copy)]
enum Found {
    Nothing,
    Something,
    End,
}

impl<S: Stream + Unpin> Inner<S> {
    /// Reads up to the first item that the handler has to get.
    fn read_ahead(
        &mut self,
        reader: Option<&Waker>,
        pings: &Pings<S>,
        outdated: &mut Vec<Box<S::Item>>,
    ) -> Found {
        // A reader that waits has to stay the one that is woken.
        let mut context = Context::from_waker(reader.unwrap_or(Waker::noop()));
        let mut found = Found::Nothing;
        for _ in 0..MAX_READ_AHEAD {
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
            self.unread = false;
            self.heard = true;
            found = Found::Something;
            let sign = (pings.sign)(&item);
            outdated.extend(self.read_ahead.replace(Box::new(item)));
            if sign != Sign::Life {
                break;
            }
        }
        found
    }

    fn ping<M>(&mut self, pings: &Pings<S>) -> Liveness
    where
        S: Sink<M>,
    {
        let Some(socket) = &mut self.socket else {
            return Liveness::Alive;
        };
        self.heard = false;
        self.pinged = (pings.ping)(socket);
        match self.flush() {
            Poll::Ready(()) => Liveness::Alive,
            Poll::Pending => Liveness::PingUnsent,
        }
    }

    fn flush<M>(&mut self) -> Poll<()>
    where
        S: Sink<M>,
    {
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(());
        };
        // A writer that waits has to stay the one that is woken.
        let waker = self.writer.as_ref().unwrap_or(Waker::noop());
        let flushed = Pin::new(socket).poll_flush(&mut Context::from_waker(waker));
        // The handler gets an error at its next read or write.
        flushed.map(drop)
    }
}

/// Stores the waker of a half that waits. It is nearly always the waker of the last time.
#[inline]
fn park<S: Stream>(mut inner: MutexGuard<'_, Inner<S>>, half: Half, waker: &Waker) {
    let parked = match half {
        Half::Reader => &mut inner.reader,
        Half::Writer => &mut inner.writer,
    };
    if parked.as_ref().is_some_and(|known| known.will_wake(waker)) {
        return;
    }
    let replaced = parked.replace(waker.clone());
    drop(inner);
    drop(replaced);
}

impl<S, M> SessionStream for Slot<S, M>
where
    S: Stream + Sink<M> + Send + Unpin + 'static,
    S::Item: Send,
    M: Send + 'static,
{
    fn end(&self, cause: &CloseCause, codes: &CloseCodes) -> BoxFuture<'static, ()> {
        let client_answers = !self.is_ended_by_client();
        let Some(socket) = self.take() else {
            return Box::pin(std::future::ready(()));
        };
        let frame = (self.frames.close)(codes.frame_for_cause(cause));
        Box::pin(close(socket, frame, client_answers))
    }

    /// Items that are read here wait for the handler, up to the first message. A sign of life that
    /// the handler has not read is replaced by the next, so that a handler that never reads hides
    /// nothing.
    fn check(&self) -> Liveness {
        let Some(pings) = &self.frames.pings else {
            return Liveness::Alive;
        };
        // Dropped after the lock is released.
        let mut outdated = Vec::new();
        let mut inner = lock(&self.inner);
        let waiting = inner.read_ahead.as_deref().map(pings.sign);
        if inner.socket.is_none() || waiting == Some(Sign::Message) {
            inner.pinged = false;
            return Liveness::Alive;
        }
        if inner.ended_by_client || waiting == Some(Sign::End) {
            // The handler had time since the last check to notice it.
            return Liveness::Disconnected;
        }
        let reader = inner.reader.clone();
        let found = inner.read_ahead(reader.as_ref(), pings, &mut outdated);
        let liveness = match found {
            Found::End => Liveness::Disconnected,
            _ if inner.pinged && !inner.heard => Liveness::Silent,
            _ => inner.ping(pings),
        };
        drop(inner);
        if let (Found::Something, Some(reader)) = (found, &reader) {
            reader.wake_by_ref();
        }
        liveness
    }

    fn flush_ping(&self) -> bool {
        lock(&self.inner).flush().is_ready()
    }

    fn read_first(&self) {
        Slot::read_first(self);
    }
}

/// Sends a close frame after everything that waits to be sent, and reads until the client has
/// answered it. If the client has ended the connection, it does not answer, and the socket may not
/// allow another read.
///
/// There is no time limit: the caller drops the future.
async fn close<S, M>(mut socket: S, frame: M, client_answers: bool)
where
    S: Stream + Sink<M> + Unpin,
{
    let sent = async {
        poll_fn(|context| Pin::new(&mut socket).poll_ready(context)).await?;
        Pin::new(&mut socket).start_send(frame)?;
        poll_fn(|context| Pin::new(&mut socket).poll_flush(context)).await
    };
    if sent.await.is_err() || !client_answers {
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

/// The most signs of life that one check reads. A client that sends more of them between two pings
/// appears to be alive for longer.
const MAX_READ_AHEAD: usize = 16;
