//! Sockets that open and never say who they are, beside a client that does.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::crowd::{Crowd, Manners};
use super::figure::{Figure, quantile};
use super::remote::Remote;
use super::server::{Handler, Kind, PENDING_LIMIT, user};
use crate::client::{self, CLOSE, Target};
use crate::report::thousands;

pub(super) async fn measure() -> Result<Vec<Figure>, Box<dyn Error>> {
    let server = Remote::start(Kind::Pending, Handler::Echoes).await?;
    let target = server.anonymous();
    let alone = clients(&target, TRIES).await?;
    tokio::time::sleep(SETTLED).await;
    let base = server.resident()?;

    let mut memory = Vec::new();
    let (mut coming, mut waiting) = (Vec::new(), Vec::new());
    for wave in 1..=WAVES {
        eprintln!("pending sockets: wave {wave} of {WAVES}");
        let mut crowd = Crowd::new(Manners::Ignores);
        coming.extend(clients_while(&target, crowd.open(vec![&target; SILENT])).await?);
        let opened = Instant::now();
        waiting.extend(clients(&target, TRIES).await?);
        let full = server.resident()?;
        if opened.elapsed() > PENDING_LIMIT / 2 {
            return Err(io::Error::other("some did not wait any more").into());
        }
        let ends = crowd.ends(SILENT, PENDING_LIMIT + LIMIT).await?;
        let told = ends.iter().filter_map(|end| end.told);
        let told = told.filter(|&(_, code)| code == TIMEOUT).count();
        tokio::time::sleep(SETTLED).await;
        memory.push((full, server.resident()?, told));
    }
    server.terminate()?;

    let mut figures = vec![
        latency(
            "a client alone: handshake and first message, p50 / p99 / max",
            alone,
            false,
        ),
        latency("… while silent ones come", coming, true),
        latency("… while all of them wait", waiting, true),
        Figure::told("memory at first", megabytes(base)),
    ];
    for (wave, (full, after, told)) in (1..).zip(memory) {
        figures.push(Figure::told(
            format!(
                "memory with {} silent sockets, wave {wave}",
                thousands(SILENT as f64)
            ),
            format!(
                "{}, {} B each",
                megabytes(full),
                thousands((full - base) / SILENT as f64)
            ),
        ));
        figures
            .push(Figure::told("… closed with 3008", thousands(told as f64)).all_of(told, SILENT));
        let left = (after - base) / 1024.0;
        let told = format!("{}, {} KiB above", megabytes(after), thousands(left));
        figures.push(Figure::told("… memory afterwards", told).at_most(
            left,
            MOST_LEFT,
            "KiB above",
        ));
    }
    Ok(figures)
}

/// Clients that say who they are, one after the other; how long each took, in milliseconds.
async fn clients(target: &Target, count: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        times.push(client(target).await?);
    }
    Ok(times)
}

/// The same for as long as something else takes.
async fn clients_while(
    target: &Target,
    other: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut other = std::pin::pin!(other);
    let mut times = Vec::new();
    loop {
        tokio::select! {
            done = &mut other => return done.map(|()| times),
            took = client(target) => times.push(took?),
        }
    }
}

/// From the connection to the first message of the application.
async fn client(target: &Target) -> Result<f64, Box<dyn Error>> {
    let began = Instant::now();
    let mut stream = client::open(target).await?;
    stream.write_all(&first_message()).await?;
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    if greeting != *GREETING {
        return Err(io::Error::other("no greeting came").into());
    }
    stream.write_all(CLOSE).await?;
    Ok(took)
}

/// A masked text message with the token.
fn first_message() -> Vec<u8> {
    let (_, token) = user(0);
    let mut frame = vec![0x81, 0x80 | token.len() as u8, 0, 0, 0, 0];
    frame.extend(token.as_bytes());
    frame
}

fn latency(what: &str, mut times: Vec<f64>, has_goal: bool) -> Figure {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| quantile(&mut times, part));
    let count = times.len();
    let text = format!("{p50:.1} / {p99:.1} / {max:.1} ms of {count}");
    let figure = Figure::told(what, text);
    match has_goal {
        true => figure.at_most(max, 200.0, "ms"),
        false => figure,
    }
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / 1024.0 / 1024.0)
}

/// The text of the greeting, in a frame.
const GREETING: &[u8; 7] = b"\x81\x05hello";

/// So many never say who they are …
const SILENT: usize = 5_000;

/// … and so often they come.
const WAVES: usize = 2;

/// So many clients do.
const TRIES: usize = 500;

/// Until nothing is left to do.
const SETTLED: Duration = Duration::from_secs(2);

/// After this, a socket that has not ended never will.
const LIMIT: Duration = Duration::from_secs(20);

/// The close code.
const TIMEOUT: u16 = 3008;

/// What an allocator may keep to itself, in KiB.
const MOST_LEFT: f64 = 1024.0;
