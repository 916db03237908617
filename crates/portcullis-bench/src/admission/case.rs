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

/// The number of rounds before the first one that is counted.
const WARM_UP: u32 = 20;

/// The work of a row.
pub(crate) enum Case {
    /// Sends a request to an application.
    Request(Box<RequestCase>),

    /// Calls a function, which returns whether it succeeded.
    Work(Box<dyn Fn() -> bool>),
}

/// An application, a request, and the expected status.
pub(crate) struct RequestCase {
    pub(crate) app: Router,
    pub(crate) request: Request<()>,
    pub(crate) status: StatusCode,
}

impl Case {
    /// Creates a case with an admitted upgrade.
    pub(crate) fn admitted(app: Router, request: Request<()>) -> Self {
        Self::refused(app, request, StatusCode::SWITCHING_PROTOCOLS)
    }

    /// Creates a case with another status.
    pub(crate) fn refused(app: Router, request: Request<()>, status: StatusCode) -> Self {
        Self::Request(Box::new(RequestCase {
            app,
            request,
            status,
        }))
    }
}

/// Runs `rounds` rounds of a row. With `only_nothing`, its request goes through a layer that does
/// nothing instead.
///
/// # Panics
///
/// Panics if a round has an unexpected result, because its cost would be meaningless.
pub(crate) fn run(name: &str, rounds: u32, only_nothing: bool) {
    // A deferred verification starts a timer, which requires a runtime.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime of one thread starts");
    let _guard = runtime.enter();
    let row = ROWS.iter().find(|row| row.name == name);
    let case = (row.expect("a row of the table").case)();
    match case {
        Case::Request(case) => {
            let RequestCase {
                app,
                request,
                status,
            } = *case;
            let (mut app, status) = match only_nothing {
                true => (nothing(), StatusCode::SWITCHING_PROTOCOLS),
                false => (app, status),
            };
            let copy = || request.clone().map(|()| Body::empty());
            for _ in 0..WARM_UP {
                assert_eq!(respond(&mut app, copy()), status, "{name}");
            }
            for _ in 0..rounds {
                let request = copy();
                let response = measured(|| respond(&mut app, request));
                assert_eq!(response, status, "{name}");
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

/// Returns the status of the response.
///
/// # Panics
///
/// Panics if the response is not ready at the first poll.
pub(crate) fn respond(app: &mut Router, request: Request<Body>) -> StatusCode {
    let mut context = Context::from_waker(Waker::noop());
    let response = pin!(Service::<Request<Body>>::call(app, request)).poll(&mut context);
    let Poll::Ready(Ok::<_, Infallible>(response)) = response else {
        panic!("the response is not ready at the first poll");
    };
    response.status()
}
