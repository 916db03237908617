//! How long it takes to open a sealed cookie, beside axum-extra's encrypted one.

use std::hint::black_box;
use std::io;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum_extra::extract::cookie::PrivateCookieJar;
use http::{HeaderMap, Request, StatusCode};

use super::case::{Case, answer};
use super::cookies;
use super::peers::nothing;
use super::rows::{by_plain_cookie, by_sealed_cookie};
use super::tokens::TOKEN;
use crate::pin::{LOAD, pin};
use crate::report::{Table, median};

const BATCHES: usize = 51;
const ROUNDS: u32 = 2_000;

/// Times everything in batches that take turns, and draws the table.
pub(crate) fn table() -> io::Result<Table> {
    pin(None, LOAD)?;
    let (mut jar, mut admission, mut opening) = (Vec::new(), Vec::new(), Vec::new());
    let (mut admission_times, mut opening_times) = (Vec::new(), Vec::new());
    let open_jar = open_jar();
    let (mut sealed, mut plain) = (parts(by_sealed_cookie()), parts(by_plain_cookie()));
    let mut nothing = (nothing(), sealed.1.clone());
    for batch in 0..=BATCHES {
        let of_jar = nanoseconds(&open_jar);
        let of_sealed = nanoseconds_of_requests(&mut sealed);
        let of_plain = nanoseconds_of_requests(&mut plain);
        let of_nothing = nanoseconds_of_requests(&mut nothing);
        // The first one warms up.
        if batch > 0 {
            jar.push(of_jar);
            admission.push(of_sealed - of_nothing);
            opening.push(of_sealed - of_plain);
            admission_times.push((of_sealed - of_nothing) / of_jar);
            opening_times.push((of_sealed - of_plain) / of_jar);
        }
    }
    let mut table = Table::new(["", "ns, median", "× `PrivateCookieJar`"]);
    let figure = |values: Vec<f64>| median(values).unwrap_or(f64::NAN);
    for (name, time, times) in [
        ("`PrivateCookieJar::from_headers` and `get`", jar, vec![1.0]),
        (
            "a sealed cookie, beyond a plain one",
            opening,
            opening_times,
        ),
        (
            "a whole admission by a sealed cookie, beyond a layer that does nothing",
            admission,
            admission_times,
        ),
    ] {
        let (time, times) = (figure(time), figure(times));
        table.row([name.to_owned(), format!("{time:.0}"), format!("{times:.2}")]);
    }
    Ok(table)
}

fn open_jar() -> impl Fn() {
    let (key, line) = cookies::private();
    let mut headers = HeaderMap::new();
    let line = cookies::among_others(&line).parse();
    headers.insert("cookie", line.expect("cookies fit into a header"));
    move || {
        let jar = PrivateCookieJar::from_headers(black_box(&headers), key.clone());
        let cookie = jar.get(cookies::PRIVATE);
        assert!(black_box(cookie).is_some_and(|cookie| cookie.value() == TOKEN));
    }
}

fn parts(case: Case) -> (Router, Request<()>) {
    match case {
        Case::Request(asked) => (asked.app, asked.request),
        Case::Work(_) => unreachable!("rows of cookies are requests"),
    }
}

fn nanoseconds_of_requests((app, request): &mut (Router, Request<()>)) -> f64 {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let request = request.clone().map(|()| Body::empty());
        assert_eq!(answer(app, request), StatusCode::SWITCHING_PROTOCOLS);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

fn nanoseconds(work: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| work());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}
