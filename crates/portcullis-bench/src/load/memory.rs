//! Resident memory of an idle socket, guarded and bare in turns.

use std::error::Error;
use std::time::Duration;

use super::clients::{Clients, OnClose};
use super::remote::Remote;
use super::result::{Measurement, spread};
use super::server::{Handler, Kind};
use super::{PER_SUBJECT, SOCKETS};
use crate::report::{median, thousands};

pub(super) async fn measure() -> Result<Vec<Measurement>, Box<dyn Error>> {
    let mut measurements = Vec::new();
    for (name, handler) in [
        ("a handler that echoes", Handler::Echo),
        ("a handler that sleeps", Handler::Sleep),
    ] {
        let (mut guarded, mut bare, mut difference) = (Vec::new(), Vec::new(), Vec::new());
        for turn in 1..=TURNS {
            eprintln!("memory, {name}: turn {turn} of {TURNS}");
            let guarded_socket = memory_of_socket(Kind::Guarded, handler).await?;
            let bare_socket = memory_of_socket(Kind::Bare, handler).await?;
            guarded.push(guarded_socket);
            bare.push(bare_socket);
            difference.push(guarded_socket - bare_socket);
        }
        let middle = |values: &Vec<f64>| median(values.clone()).unwrap_or(f64::NAN);
        let bytes = |values: &[f64]| format!("{} B", spread(values));
        measurements.push(Measurement::new(format!("bare axum, {name}"), bytes(&bare)));
        measurements.push(
            Measurement::new(format!("guarded, {name}"), bytes(&guarded)).at_most(
                middle(&guarded),
                LIMIT,
                "B",
            ),
        );
        measurements.push(
            Measurement::new(format!("guarded − bare, {name}"), bytes(&difference)).at_most(
                middle(&difference),
                DIFFERENCE_LIMIT,
                "B",
            ),
        );
    }
    let sockets = thousands(SOCKETS as f64);
    measurements.push(Measurement::new("number of sockets", sockets));
    Ok(measurements)
}

/// Returns the memory of a socket in a new server, in bytes.
async fn memory_of_socket(kind: Kind, handler: Handler) -> Result<f64, Box<dyn Error>> {
    let server = Remote::start(kind, handler).await?;
    // The first sockets allocate what the later ones share.
    let mut first = Clients::new(OnClose::Respond);
    first.open(&vec![server.target(0); 50]).await?;
    drop(first);
    tokio::time::sleep(SETTLED).await;
    let before = server.resident()?;
    let mut clients = Clients::new(OnClose::Respond);
    let targets: Vec<_> = (0..SOCKETS / PER_SUBJECT)
        .map(|number| server.target(number))
        .collect();
    clients.open(targets.iter().cycle().take(SOCKETS)).await?;
    tokio::time::sleep(SETTLED).await;
    let grown = server.resident()? - before;
    server.terminate()?;
    Ok(grown / SOCKETS as f64)
}

const TURNS: u32 = 3;

/// The time until all handshakes are complete.
const SETTLED: Duration = Duration::from_secs(2);

/// The goal for a guarded socket, in bytes.
const LIMIT: f64 = 8.0 * 1024.0;

/// The goal for the difference between a guarded and a bare socket, in bytes.
const DIFFERENCE_LIMIT: f64 = 100.0;
