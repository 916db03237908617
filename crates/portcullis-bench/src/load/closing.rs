//! Closing thousands of sockets, by revocation or at their deadline.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use super::clients::{Clients, End, OnClose};
use super::remote::Remote;
use super::result::{Measurement, quantile};
use super::server::{Handler, Kind, Setup};
use super::{PER_SUBJECT, SOCKETS};
use crate::report::thousands;

pub(super) async fn measure() -> Result<Vec<Measurement>, Box<dyn Error>> {
    let mut measurements = Vec::new();

    eprintln!("revoking one subject after another");
    let mut server = Remote::start(Kind::Guarded, Handler::Echo).await?;
    let mut clients = Clients::new(OnClose::Respond);
    let began = Instant::now();
    fill(&mut clients, &server).await?;
    let opening = began.elapsed();
    measurements.extend(one_subject(&mut server, &mut clients).await?);

    eprintln!("revoking everything");
    let revoked = "everything revoked, handlers that echo, clients that respond";
    measurements.extend(everything(revoked, server, clients).await?);

    eprintln!("revoking everything, with handlers that sleep and clients that ignore it");
    let revoked = "everything revoked, handlers that sleep, clients that ignore it";
    let server = Remote::start(Kind::Guarded, Handler::Sleep).await?;
    let mut clients = Clients::new(OnClose::Ignore);
    fill(&mut clients, &server).await?;
    measurements.extend(everything(revoked, server, clients).await?);

    eprintln!("waiting for the common deadline of all sockets");
    let expired = "all expire at once, handlers that echo, clients that respond";
    let lead = opening * 2 + Duration::from_secs(5);
    measurements.extend(expiry(expired, Handler::Echo, OnClose::Respond, lead).await?);

    eprintln!("waiting again, with handlers that sleep and clients that ignore it");
    let expired = "all expire at once, handlers that sleep, clients that ignore it";
    measurements.extend(expiry(expired, Handler::Sleep, OnClose::Ignore, lead).await?);
    Ok(measurements)
}

/// Opens all sockets, for several subjects.
async fn fill(clients: &mut Clients, server: &Remote) -> Result<(), Box<dyn Error>> {
    let targets: Vec<_> = (0..SOCKETS / PER_SUBJECT)
        .map(|number| server.target(number))
        .collect();
    clients.open(targets.iter().cycle().take(SOCKETS)).await
}

/// Revokes one subject after another, and opens the same number of sockets of a new subject.
async fn one_subject(
    server: &mut Remote,
    clients: &mut Clients,
) -> Result<Vec<Measurement>, Box<dyn Error>> {
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let from = server.send(&format!("revoke user-{round}"))?;
        let ends = clients.ends(PER_SUBJECT, LIMIT).await?;
        let (_, revoked) = server.receive().await?;
        if revoked != PER_SUBJECT {
            return Err(io::Error::other(format!("{revoked} sockets were revoked")).into());
        }
        times.extend(close_frame_times(&ends, from, REVOKED));
        let next = server.target(SOCKETS / PER_SUBJECT + round);
        clients.open(vec![&next; PER_SUBJECT]).await?;
        // No other socket was closed.
        if clients.len() != SOCKETS {
            return Err(io::Error::other(format!("{} sockets are open", clients.len())).into());
        }
    }
    let count = times.len();
    let all = ROUNDS * PER_SUBJECT;
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| quantile(&mut times, part));
    let name = format!(
        "{PER_SUBJECT} sockets of one subject revoked, {ROUNDS} times: close frame, p50 / p99 / max"
    );
    let result = [p50, p99, max].map(thousands).join(" / ");
    Ok(vec![
        Measurement::new(name, format!("{result} ms")).at_most(p99, 1_000.0, "ms"),
        Measurement::new("… clients that received it", thousands(count as f64)).all_of(count, all),
    ])
}

/// Revokes everything, and stops the server.
async fn everything(
    name: &str,
    mut server: Remote,
    mut clients: Clients,
) -> Result<Vec<Measurement>, Box<dyn Error>> {
    let from = server.send("revoke everything")?;
    server.send("empty")?;
    let ends = clients.ends(SOCKETS, LIMIT).await?;
    let _ = server.receive().await?;
    let (empty, _) = server.receive().await?;
    server.terminate()?;
    Ok(summarize(name, &ends, from, empty, REVOKED))
}

/// Opens sockets with the same deadline, and waits for it.
async fn expiry(
    name: &str,
    handler: Handler,
    on_close: OnClose,
    lead: Duration,
) -> Result<Vec<Measurement>, Box<dyn Error>> {
    let from = Instant::now() + lead;
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + lead;
    let mut server = Remote::start_as(&Setup {
        kind: Kind::Guarded,
        handler,
        ends_at: Some(since_1970.as_millis().try_into()?),
    })
    .await?;
    let mut clients = Clients::new(on_close);
    fill(&mut clients, &server).await?;
    if Instant::now() > from {
        return Err(io::Error::other("the sockets were not open in time").into());
    }
    server.send("empty")?;
    let ends = clients.ends(SOCKETS, lead + LIMIT).await?;
    let (empty, _) = server.receive().await?;
    server.terminate()?;
    Ok(summarize(name, &ends, from, empty, EXPIRED))
}

/// Formats the times until the ends of all sockets.
fn summarize(
    name: &str,
    ends: &[End],
    from: Instant,
    empty: Instant,
    code: u16,
) -> Vec<Measurement> {
    let mut closed = close_frame_times(ends, from, code);
    let mut disconnected: Vec<_> = ends
        .iter()
        .map(|end| milliseconds(from, end.disconnected))
        .collect();
    let (closed_count, disconnected_count) = (closed.len(), disconnected.len());
    let closed = [0.5, 1.0].map(|part| quantile(&mut closed, part));
    let disconnected = [0.5, 1.0].map(|part| quantile(&mut disconnected, part));
    let empty = milliseconds(from, empty);
    let both = |times: [f64; 2]| format!("{} ms", times.map(thousands).join(" / "));
    vec![
        Measurement::new(format!("{name}: close frame, p50 / max"), both(closed))
            .at_most(closed[1], 2_000.0, "ms"),
        Measurement::new("… clients that received it", thousands(closed_count as f64))
            .all_of(closed_count, SOCKETS),
        Measurement::new("… end of the connection, p50 / max", both(disconnected)).at_most(
            disconnected[1],
            5_000.0,
            "ms",
        ),
        Measurement::new(
            "… connections that ended",
            thousands(disconnected_count as f64),
        )
        .all_of(disconnected_count, SOCKETS),
        Measurement::new(
            "… no session on the server",
            format!("{} ms", thousands(empty)),
        )
        .at_most(empty, 5_000.0, "ms"),
    ]
}

/// Returns the times until clients received a close frame with this code.
fn close_frame_times(ends: &[End], from: Instant, code: u16) -> Vec<f64> {
    let frames = ends.iter().filter_map(|end| end.close_frame);
    frames
        .filter(|&(_, received)| received == code)
        .map(|(when, _)| milliseconds(from, when))
        .collect()
}

fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

const ROUNDS: usize = 20;

/// The time limit for the end of all sockets.
const LIMIT: Duration = Duration::from_secs(20);

/// The close code of a revoked session.
const REVOKED: u16 = 3003;

/// The close code of an expired session.
const EXPIRED: u16 = 3000;
