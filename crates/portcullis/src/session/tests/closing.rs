//! Closes sessions with and without a runtime.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use portcullis_core::Identity;
use tokio::runtime::Runtime;

use super::{IdleStream, context};
use crate::close::{CloseCause, CloseCodes, CloseFrame};
use crate::session::slot::{Liveness, SessionStream};
use crate::session::{Session, Sessions};

fn open(sessions: &Sessions, stream: impl SessionStream + 'static) -> Session {
    let session = Session::admit(&context(sessions), Identity::new("alice"), None, None).unwrap();
    let entry = sessions.inner.registry.find(session.id()).unwrap();
    entry.open(Arc::new(stream), || {}).unwrap();
    session
}

fn bye() -> CloseFrame {
    CloseFrame::new(4000, "bye")
}

/// A closed session is removed, whether there is a runtime or not.
#[test]
fn sessions_close_outside_of_a_runtime() {
    let without_runtime = Sessions::default();
    let session = open(&without_runtime, IdleStream);
    assert!(without_runtime.close(session.id(), bye()));
    assert_eq!(without_runtime.len(), 0);

    let in_runtime = Sessions::default();
    let runtime = Runtime::new().unwrap();
    let session = runtime.block_on(async { open(&in_runtime, IdleStream) });
    session.close(bye());
    let limit = Duration::from_secs(60);
    assert_eq!(runtime.block_on(in_runtime.shutdown(limit)), 0);

    let after_runtime = Sessions::default();
    let session = runtime.block_on(async { open(&after_runtime, IdleStream) });
    drop(runtime);
    session.close(bye());
    assert_eq!(after_runtime.len(), 0);
    assert_eq!(session.ended(), Some(CloseCause::Application(bye())));
}

/// A runtime that ends while a socket is closing drops the socket, and the session is removed.
#[test]
fn sessions_are_removed_if_their_runtime_ends() {
    /// The stream of a client that never answers.
    #[derive(Debug)]
    struct Unanswered;

    impl SessionStream for Unanswered {
        fn end(&self, _: &CloseCause, _: &CloseCodes) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }

        fn check(&self) -> Liveness {
            Liveness::Alive
        }

        fn flush_ping(&self) -> bool {
            true
        }
    }

    let sessions = Sessions::default();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async { open(&sessions, Unanswered).close(bye()) });
    assert_eq!(sessions.len(), 1);
    drop(runtime);
    assert_eq!(sessions.len(), 0);
}
