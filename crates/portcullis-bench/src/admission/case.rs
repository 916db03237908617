use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use tower_service::Service;

use super::peers::nothing;
use super::rows::ROWS;
use crate::callgrind::measured;

/// So many rounds come before the first one that is counted.
const WARM_UP: u32 = 20;

/// What a row does.
pub(crate) enum Case {
    /// Answers a request.
    Request(Box<Asked>),

    /// Something that is no request, and that answers whether it went as it should.
    Work(Box<dyn Fn() -> bool>),
}

/// An application, and what it answers a request with.
pub(crate) struct Asked {
    pub(crate) app: Router,
    pub(crate) request: Request<()>,
    pub(crate) status: StatusCode,
}

impl Case {
    /// An upgrade that is let through.
    pub(crate) fn admitted(app: Router, request: Request<()>) -> Self {
        Self::refused(app, request, StatusCode::SWITCHING_PROTOCOLS)
    }

    pub(crate) fn refused(app: Router, request: Request<()>, status: StatusCode) -> Self {
        Self::Request(Box::new(Asked {
            app,
            request,
            status,
        }))
    }
}

/// Runs `rounds` rounds of the row of this name; its request through a layer that does nothing, if
/// `only_nothing` says so.
///
/// # Panics
///
/// If a round does not end as it should: a figure of something else would be worth nothing.
pub(crate) fn run(name: &str, rounds: u32, only_nothing: bool) {
    let row = ROWS.iter().find(|row| row.name == name);
    let case = (row.expect("a row of the table").case)();
    // A verifier that has to be waited for starts a timer, which needs a runtime around it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime of one thread starts");
    let _guard = runtime.enter();
    match case {
        Case::Request(asked) => {
            let Asked {
                app,
                request,
                status,
            } = *asked;
            let (mut app, status) = match only_nothing {
                true => (nothing(), StatusCode::SWITCHING_PROTOCOLS),
                false => (app, status),
            };
            let copy = || request.clone().map(|()| Body::empty());
            for _ in 0..WARM_UP {
                assert_eq!(answer(&mut app, copy()), status, "{name}");
            }
            for _ in 0..rounds {
                let request = copy();
                let answered = measured(|| answer(&mut app, request));
                assert_eq!(answered, status, "{name}");
            }
        }
        Case::Work(work) => {
            assert!((0..WARM_UP).all(|_| work()), "{name}");
            for _ in 0..rounds {
                assert!(measured(&work), "{name}");
            }
        }
    }
}

/// The status of the answer, which has to be there at once.
pub(crate) fn answer(app: &mut Router, request: Request<Body>) -> StatusCode {
    let mut context = Context::from_waker(Waker::noop());
    let answer = pin!(Service::<Request<Body>>::call(app, request)).poll(&mut context);
    let Poll::Ready(Ok::<_, Infallible>(response)) = answer else {
        panic!("a row of the table answers at once");
    };
    response.status()
}
