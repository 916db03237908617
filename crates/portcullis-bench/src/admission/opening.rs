//! The time to open a sealed cookie, compared with the private cookie of axum-extra.

use std::hint::black_box;
use std::io;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum_extra::extract::cookie::PrivateCookieJar;
use http::{HeaderMap, Request, StatusCode};

use super::case::{Case, respond};
use super::cookies;
use super::peers::nothing;
use super::rows::{by_plain_cookie, by_sealed_cookie};
use super::tokens::TOKEN;
use crate::pin::{CLIENTS, pin};
use crate::report::{Table, median};

const BATCHES: usize = 51;
const ROUNDS: u32 = 2_000;

/// Measures in alternating batches, and returns the results as a table.
pub(crate) fn table() -> io::Result<Table> {
    pin(None, CLIENTS)?;
    // A sealed cookie is verified with a time limit, which needs a timer.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let _context = runtime.enter();
    let (mut jar, mut admission, mut opening) = (Vec::new(), Vec::new(), Vec::new());
    let (mut admission_ratios, mut opening_ratios) = (Vec::new(), Vec::new());
    let open_jar = open_jar();
    let (mut sealed, mut plain) = (parts(by_sealed_cookie()), parts(by_plain_cookie()));
    let mut nothing = (nothing(), sealed.1.clone());
    for batch in 0..=BATCHES {
        let jar_time = nanoseconds(&open_jar);
        let sealed_time = nanoseconds_per_request(&mut sealed);
        let plain_time = nanoseconds_per_request(&mut plain);
        let nothing_time = nanoseconds_per_request(&mut nothing);
        // The first batch warms up.
        if batch > 0 {
            jar.push(jar_time);
            admission.push(sealed_time - nothing_time);
            opening.push(sealed_time - plain_time);
            admission_ratios.push((sealed_time - nothing_time) / jar_time);
            opening_ratios.push((sealed_time - plain_time) / jar_time);
        }
    }
    let mut table = Table::new(["", "ns, median", "× `PrivateCookieJar`"]);
    let middle = |values: Vec<f64>| median(values).unwrap_or(f64::NAN);
    for (name, times, ratios) in [
        ("`PrivateCookieJar::from_headers` and `get`", jar, vec![1.0]),
        (
            "a sealed cookie, minus a plain cookie",
            opening,
            opening_ratios,
        ),
        (
            "admission by a sealed cookie, minus a layer that does nothing",
            admission,
            admission_ratios,
        ),
    ] {
        let (time, ratio) = (middle(times), middle(ratios));
        table.row([name.to_owned(), format!("{time:.0}"), format!("{ratio:.2}")]);
    }
    Ok(table)
}

fn open_jar() -> impl Fn() {
    let (key, line) = cookies::private();
    let mut headers = HeaderMap::new();
    let line = cookies::among_others(&line).parse();
    headers.insert("cookie", line.expect("cookies are a valid header"));
    move || {
        let jar = PrivateCookieJar::from_headers(black_box(&headers), key.clone());
        let cookie = jar.get(cookies::PRIVATE);
        assert!(black_box(cookie).is_some_and(|cookie| cookie.value() == TOKEN));
    }
}

fn parts(case: Case) -> (Router, Request<()>) {
    match case {
        Case::Request(case) => (case.app, case.request),
        Case::Work(_) => unreachable!("the rows of cookies send requests"),
    }
}

fn nanoseconds_per_request((app, request): &mut (Router, Request<()>)) -> f64 {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let request = request.clone().map(|()| Body::empty());
        assert_eq!(respond(app, request), StatusCode::SWITCHING_PROTOCOLS);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

fn nanoseconds(work: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| work());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}
