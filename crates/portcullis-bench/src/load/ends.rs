//! How thousands of sockets end: revoked, or at their deadline.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use super::crowd::{Crowd, End, Manners};
use super::figure::{Figure, quantile};
use super::remote::Remote;
use super::server::{Handler, Kind, Setup};
use super::{OF_A_SUBJECT, SOCKETS};
use crate::report::thousands;

pub(super) async fn measure() -> Result<Vec<Figure>, Box<dyn Error>> {
    let mut figures = Vec::new();

    eprintln!("revoking one subject, again and again");
    let mut server = Remote::start(Kind::Guarded, Handler::Echoes).await?;
    let mut crowd = Crowd::new(Manners::Answers);
    let began = Instant::now();
    fill(&mut crowd, &server).await?;
    let opening = began.elapsed();
    figures.extend(one_subject(&mut server, &mut crowd).await?);

    eprintln!("revoking everything");
    let revoked = "everything revoked, handlers that echo, clients that answer";
    figures.extend(everything(revoked, server, crowd).await?);

    eprintln!("revoking everything, whose handlers sleep and whose clients ignore it");
    let revoked = "everything revoked, handlers that sleep, clients that ignore it";
    let server = Remote::start(Kind::Guarded, Handler::Sleeps).await?;
    let mut crowd = Crowd::new(Manners::Ignores);
    fill(&mut crowd, &server).await?;
    figures.extend(everything(revoked, server, crowd).await?);

    eprintln!("letting all of them expire at once");
    let expired = "all expire at once, handlers that echo, clients that answer";
    let lead = opening * 2 + Duration::from_secs(5);
    figures.extend(expiry(expired, Handler::Echoes, Manners::Answers, lead).await?);

    eprintln!("the same with handlers that sleep and clients that ignore it");
    let expired = "all expire at once, handlers that sleep, clients that ignore it";
    figures.extend(expiry(expired, Handler::Sleeps, Manners::Ignores, lead).await?);
    Ok(figures)
}

/// Opens all the sockets, so many for each subject.
async fn fill(crowd: &mut Crowd, server: &Remote) -> Result<(), Box<dyn Error>> {
    let targets: Vec<_> = (0..SOCKETS / OF_A_SUBJECT)
        .map(|number| server.target(number))
        .collect();
    crowd.open(targets.iter().cycle().take(SOCKETS)).await
}

/// Revokes one subject after the other, and opens as many sockets of a new one.
async fn one_subject(
    server: &mut Remote,
    crowd: &mut Crowd,
) -> Result<Vec<Figure>, Box<dyn Error>> {
    let mut told = Vec::new();
    for round in 0..ROUNDS {
        let from = server.tell(&format!("revoke user-{round}"))?;
        let ends = crowd.ends(OF_A_SUBJECT, LIMIT).await?;
        let (_, revoked) = server.answer().await?;
        if revoked != OF_A_SUBJECT {
            return Err(io::Error::other(format!("{revoked} sockets were revoked")).into());
        }
        told.extend(told_after(&ends, from, REVOKED));
        let next = server.target(SOCKETS / OF_A_SUBJECT + round);
        crowd.open(vec![&next; OF_A_SUBJECT]).await?;
        // Whoever else were closed would be missing here.
        if crowd.len() != SOCKETS {
            return Err(io::Error::other(format!("{} sockets are open", crowd.len())).into());
        }
    }
    let count = told.len();
    let all = ROUNDS * OF_A_SUBJECT;
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| quantile(&mut told, part));
    let what = format!(
        "{OF_A_SUBJECT} sockets of one subject revoked, {ROUNDS} times: close frame, p50 / p99 / max"
    );
    let measured = [p50, p99, max].map(thousands).join(" / ");
    Ok(vec![
        Figure::told(what, format!("{measured} ms")).at_most(p99, 1_000.0, "ms"),
        Figure::told("… clients that had it", thousands(count as f64)).all_of(count, all),
    ])
}

/// Revokes everything, and is done with the server.
async fn everything(
    what: &str,
    mut server: Remote,
    mut crowd: Crowd,
) -> Result<Vec<Figure>, Box<dyn Error>> {
    let from = server.tell("revoke everything")?;
    server.tell("empty")?;
    let ends = crowd.ends(SOCKETS, LIMIT).await?;
    let _ = server.answer().await?;
    let (empty, _) = server.answer().await?;
    server.terminate()?;
    Ok(ending(what, &ends, from, empty, REVOKED))
}

/// Opens sockets that have the same deadline, and waits for it.
async fn expiry(
    what: &str,
    handler: Handler,
    manners: Manners,
    lead: Duration,
) -> Result<Vec<Figure>, Box<dyn Error>> {
    let from = Instant::now() + lead;
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + lead;
    let mut server = Remote::start_as(&Setup {
        kind: Kind::Guarded,
        handler,
        ends_at: Some(since_1970.as_millis().try_into()?),
    })
    .await?;
    let mut crowd = Crowd::new(manners);
    fill(&mut crowd, &server).await?;
    if Instant::now() > from {
        return Err(io::Error::other("the sockets were not open in time").into());
    }
    server.tell("empty")?;
    let ends = crowd.ends(SOCKETS, lead + LIMIT).await?;
    let (empty, _) = server.answer().await?;
    server.terminate()?;
    Ok(ending(what, &ends, from, empty, EXPIRED))
}

/// What became of all sockets.
fn ending(what: &str, ends: &[End], from: Instant, empty: Instant, code: u16) -> Vec<Figure> {
    let mut told = told_after(ends, from, code);
    let mut gone: Vec<_> = ends
        .iter()
        .map(|end| milliseconds(from, end.gone))
        .collect();
    let (told_count, gone_count) = (told.len(), gone.len());
    let told = [0.5, 1.0].map(|part| quantile(&mut told, part));
    let gone = [0.5, 1.0].map(|part| quantile(&mut gone, part));
    let empty = milliseconds(from, empty);
    let both = |times: [f64; 2]| format!("{} ms", times.map(thousands).join(" / "));
    vec![
        Figure::told(format!("{what}: close frame, p50 / max"), both(told))
            .at_most(told[1], 2_000.0, "ms"),
        Figure::told("… clients that had it", thousands(told_count as f64))
            .all_of(told_count, SOCKETS),
        Figure::told("… connection gone, p50 / max", both(gone)).at_most(gone[1], 5_000.0, "ms"),
        Figure::told("… connections gone", thousands(gone_count as f64))
            .all_of(gone_count, SOCKETS),
        Figure::told(
            "… the server counts none",
            format!("{} ms", thousands(empty)),
        )
        .at_most(empty, 5_000.0, "ms"),
    ]
}

/// How long it took until clients had a close frame with this code.
fn told_after(ends: &[End], from: Instant, code: u16) -> Vec<f64> {
    let told = ends.iter().filter_map(|end| end.told);
    told.filter(|&(_, said)| said == code)
        .map(|(when, _)| milliseconds(from, when))
        .collect()
}

fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

const ROUNDS: usize = 20;

/// After this, a socket that has not ended never will.
const LIMIT: Duration = Duration::from_secs(20);

/// The close codes.
const REVOKED: u16 = 3003;
const EXPIRED: u16 = 3000;
