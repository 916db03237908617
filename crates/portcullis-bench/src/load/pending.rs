//! Clients that never authenticate, and their effect on clients that do.

use std::error::Error;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::clients::{Clients, OnClose};
use super::remote::Remote;
use super::result::{Measurement, quantile};
use super::server::{Handler, Kind, PENDING_LIMIT, user};
use crate::client::{self, CLOSE, Target};
use crate::report::thousands;

pub(super) async fn measure() -> Result<Vec<Measurement>, Box<dyn Error>> {
    let mut measurements = waves(None).await?;
    measurements.extend(bare().await?);
    measurements.extend(waves(Some(JEMALLOC)).await?);
    Ok(measurements)
}

/// Opens silent sockets and waits for their end, more than once.
async fn waves(allocator: Option<&str>) -> Result<Vec<Measurement>, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(library) = allocator {
        command
            .env("LD_PRELOAD", library)
            .env("MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");
    }
    let server = Remote::start_with(&mut command, &Kind::Pending.echoing()).await?;
    if let Some(library) = allocator
        && !server.has_loaded(library)?
    {
        let missing = Measurement::new(format!("with {library}"), "not installed");
        return Ok(vec![missing]);
    }
    let target = server.anonymous();
    let alone = client_times(&target, TRIES).await?;
    tokio::time::sleep(SETTLED).await;
    let base = server.resident()?;
    let (mut while_opening, mut while_open) = (Vec::new(), Vec::new());
    let mut memory = Vec::new();
    for wave in 1..=WAVES {
        eprintln!("pending sockets: wave {wave} of {WAVES}");
        let before = server.resident()?;
        let mut clients = Clients::new(OnClose::Ignore);
        let silent = clients.open(vec![&target; SILENT]);
        while_opening.extend(client_times_during(&target, silent).await?);
        let opened = Instant::now();
        while_open.extend(client_times(&target, TRIES).await?);
        let full = server.resident()?;
        if opened.elapsed() > PENDING_LIMIT / 2 {
            return Err(io::Error::other("some sockets ended too early").into());
        }
        let ends = clients.ends(SILENT, PENDING_LIMIT + LIMIT).await?;
        let frames = ends.iter().filter_map(|end| end.close_frame);
        let timed_out = frames.filter(|&(_, code)| code == TIMEOUT).count();
        tokio::time::sleep(SETTLED).await;
        let after = server.resident()?;
        memory.push(memory_of_wave(wave, allocator, [before, full, after]));
        if allocator.is_none() {
            memory.push(closed(timed_out));
        }
    }
    server.terminate()?;
    let mut measurements = Vec::new();
    if allocator.is_none() {
        measurements.push(latency(
            "a client alone: handshake and first message, p50 / p99 / max",
            alone,
            false,
        ));
        measurements.push(latency(
            "… while silent clients connect",
            while_opening,
            true,
        ));
        measurements.push(latency(
            "… while all of them are connected",
            while_open,
            true,
        ));
        measurements.push(Measurement::new("memory at start", megabytes(base)));
    }
    measurements.extend(memory);
    Ok(measurements)
}

/// Formats the memory before a wave, with all of its sockets, and after their end.
fn memory_of_wave(wave: usize, allocator: Option<&str>, memory: [f64; 3]) -> Measurement {
    let [before, full, after] = memory;
    let named = allocator.map_or_else(String::new, |library| format!(", {library}"));
    let result = format!(
        "{} → {} → {}",
        megabytes(before),
        megabytes(full),
        megabytes(after)
    );
    let measurement = Measurement::new(
        format!("memory before, with and after wave {wave}{named}"),
        result,
    );
    let retained = (after - before) / (full - before).max(1.0) * 100.0;
    // The allocator of glibc keeps freed memory; the second wave has to reuse it.
    match (allocator, wave) {
        (None, 1) => measurement,
        (None, _) => measurement.at_most((after - before) / MIB, 1.0, "MiB more"),
        (Some(_), _) => measurement.at_most(retained, 5.0, "% of it retained"),
    }
}

fn closed(count: usize) -> Measurement {
    Measurement::new("… closed with 3008", thousands(count as f64)).all_of(count, SILENT)
}

/// Measures the memory of the same number of bare sockets, and after their end.
async fn bare() -> Result<Vec<Measurement>, Box<dyn Error>> {
    let server = Remote::start(Kind::Bare, Handler::Echo).await?;
    let target = server.target(0);
    let mut first = Clients::new(OnClose::Ignore);
    first.open(vec![&target; 50]).await?;
    drop(first);
    tokio::time::sleep(SETTLED).await;
    let before = server.resident()?;
    let mut clients = Clients::new(OnClose::Ignore);
    clients.open(vec![&target; SILENT]).await?;
    tokio::time::sleep(SETTLED).await;
    let full = server.resident()?;
    drop(clients);
    tokio::time::sleep(SETTLED).await;
    let after = server.resident()?;
    server.terminate()?;
    let result = [before, full, after].map(megabytes).join(" → ");
    Ok(vec![Measurement::new(
        "bare axum: memory before, with and after the same number of idle sockets",
        result,
    )])
}

/// Runs clients that authenticate, one after another. Returns the time of each in milliseconds.
async fn client_times(target: &Target, count: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        times.push(client_time(target).await?);
    }
    Ok(times)
}

/// Runs clients that authenticate until `other` completes. Returns the time of each in milliseconds.
async fn client_times_during(
    target: &Target,
    other: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut other = std::pin::pin!(other);
    let mut times = Vec::new();
    loop {
        tokio::select! {
            done = &mut other => return done.map(|()| times),
            time = client_time(target) => times.push(time?),
        }
    }
}

/// Returns the time from the connection to the first message of the application.
async fn client_time(target: &Target) -> Result<f64, Box<dyn Error>> {
    let began = Instant::now();
    let mut stream = authenticate(target).await?;
    let time = began.elapsed().as_secs_f64() * 1e3;
    stream.write_all(CLOSE).await?;
    Ok(time)
}

/// Opens a socket, authenticates in the first message, and reads the greeting of the application.
pub(super) async fn authenticate(target: &Target) -> io::Result<TcpStream> {
    let mut stream = client::open(target).await?;
    stream.write_all(&first_message()).await?;
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).await?;
    match greeting == *GREETING {
        true => Ok(stream),
        false => Err(io::Error::other("the first message is not the greeting")),
    }
}

/// Encodes a masked text message with the token.
fn first_message() -> Vec<u8> {
    let (_, token) = user(0);
    let mut frame = vec![0x81, 0x80 | token.len() as u8, 0, 0, 0, 0];
    frame.extend(token.as_bytes());
    frame
}

fn latency(name: &str, mut times: Vec<f64>, has_goal: bool) -> Measurement {
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| quantile(&mut times, part));
    let count = times.len();
    let text = format!("{p50:.1} / {p99:.1} / {max:.1} ms of {count}");
    let measurement = Measurement::new(name, text);
    match has_goal {
        true => measurement.at_most(max, 200.0, "ms"),
        false => measurement,
    }
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / MIB)
}

/// The frame of the greeting.
const GREETING: &[u8; 7] = b"\x81\x05hello";

/// The number of clients that never authenticate.
const SILENT: usize = 5_000;

/// The number of waves of them.
const WAVES: usize = 2;

/// The number of clients that authenticate.
const TRIES: usize = 500;

/// The time until the server is idle.
const SETTLED: Duration = Duration::from_secs(2);

/// The time limit for the end of all sockets.
const LIMIT: Duration = Duration::from_secs(20);

/// The close code of an authentication timeout.
const TIMEOUT: u16 = 3008;

/// An allocator that returns unused memory, if it is installed.
const JEMALLOC: &str = "libjemalloc.so.2";

const MIB: f64 = 1024.0 * 1024.0;
