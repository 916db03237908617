//! Resident memory of a socket that idles, guarded and bare in turns.

use std::error::Error;
use std::time::Duration;

use super::crowd::{Crowd, Manners};
use super::figure::{Figure, spread};
use super::remote::Remote;
use super::server::{Handler, Kind};
use super::{OF_A_SUBJECT, SOCKETS};
use crate::report::{median, thousands};

pub(super) async fn measure() -> Result<Vec<Figure>, Box<dyn Error>> {
    let mut figures = Vec::new();
    for (name, handler) in [
        ("a handler that echoes", Handler::Echoes),
        ("a handler that sleeps", Handler::Sleeps),
    ] {
        let (mut guarded, mut bare, mut beyond) = (Vec::new(), Vec::new(), Vec::new());
        for turn in 1..=TURNS {
            eprintln!("memory, {name}: turn {turn} of {TURNS}");
            let ours = socket(Kind::Guarded, handler).await?;
            let plain = socket(Kind::Bare, handler).await?;
            guarded.push(ours);
            bare.push(plain);
            beyond.push(ours - plain);
        }
        let middle = |values: &Vec<f64>| median(values.clone()).unwrap_or(f64::NAN);
        let bytes = |values: &[f64]| format!("{} B", spread(values));
        figures.push(Figure::told(format!("bare axum, {name}"), bytes(&bare)));
        figures.push(
            Figure::told(format!("guarded, {name}"), bytes(&guarded)).at_most(
                middle(&guarded),
                MOST,
                "B",
            ),
        );
        figures.push(
            Figure::told(format!("guarded − bare, {name}"), bytes(&beyond)).at_most(
                middle(&beyond),
                MOST_BEYOND,
                "B",
            ),
        );
    }
    let sockets = thousands(SOCKETS as f64);
    figures.push(Figure::told("sockets of one process", sockets));
    Ok(figures)
}

/// What a socket adds to the memory of a new server, in bytes.
async fn socket(kind: Kind, handler: Handler) -> Result<f64, Box<dyn Error>> {
    let server = Remote::start(kind, handler).await?;
    // The first ones grow what all later ones share.
    let mut first = Crowd::new(Manners::Answers);
    first.open(&vec![server.target(0); 50]).await?;
    drop(first);
    tokio::time::sleep(SETTLED).await;
    let before = server.resident()?;
    let mut crowd = Crowd::new(Manners::Answers);
    let targets: Vec<_> = (0..SOCKETS / OF_A_SUBJECT)
        .map(|number| server.target(number))
        .collect();
    crowd.open(targets.iter().cycle().take(SOCKETS)).await?;
    tokio::time::sleep(SETTLED).await;
    let grown = server.resident()? - before;
    server.terminate()?;
    Ok(grown / SOCKETS as f64)
}

const TURNS: u32 = 3;

/// Until nothing of the handshakes is left to do.
const SETTLED: Duration = Duration::from_secs(2);

/// The goal for a guarded socket as a whole, in bytes.
const MOST: f64 = 8.0 * 1024.0;

/// The goal for what it costs beyond a bare one, in bytes.
const MOST_BEYOND: f64 = 100.0;
