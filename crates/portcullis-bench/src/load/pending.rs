//! Sockets that open and never say who they are, beside a client that does.

use std::error::Error;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::crowd::{Crowd, Manners};
use super::figure::{Figure, quantile};
use super::remote::Remote;
use super::server::{Handler, Kind, PENDING_LIMIT, user};
use crate::client::{self, CLOSE, Target};
use crate::report::thousands;

pub(super) async fn measure() -> Result<Vec<Figure>, Box<dyn Error>> {
    let mut figures = waves(None).await?;
    figures.extend(bare().await?);
    figures.extend(waves(Some(JEMALLOC)).await?);
    Ok(figures)
}

/// Lets silent ones come, wait and go, more than once.
async fn waves(allocator: Option<&str>) -> Result<Vec<Figure>, Box<dyn Error>> {
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
        let missing = Figure::told(format!("with {library}"), "not installed");
        return Ok(vec![missing]);
    }
    let target = server.anonymous();
    let alone = clients(&target, TRIES).await?;
    tokio::time::sleep(SETTLED).await;
    let base = server.resident()?;
    let (mut coming, mut waiting) = (Vec::new(), Vec::new());
    let mut memory = Vec::new();
    for wave in 1..=WAVES {
        eprintln!("pending sockets: wave {wave} of {WAVES}");
        let before = server.resident()?;
        let mut crowd = Crowd::new(Manners::Ignores);
        let silent = crowd.open(vec![&target; SILENT]);
        coming.extend(clients_while(&target, silent).await?);
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
        let after = server.resident()?;
        memory.push(memory_of_wave(wave, allocator, [before, full, after]));
        if allocator.is_none() {
            memory.push(closed(told));
        }
    }
    server.terminate()?;
    let mut figures = Vec::new();
    if allocator.is_none() {
        figures.push(latency(
            "a client alone: handshake and first message, p50 / p99 / max",
            alone,
            false,
        ));
        figures.push(latency("… while silent ones come", coming, true));
        figures.push(latency("… while all of them wait", waiting, true));
        figures.push(Figure::told("memory at first", megabytes(base)));
    }
    figures.extend(memory);
    Ok(figures)
}

/// Memory before a wave, when all of its sockets wait, and when they are gone.
fn memory_of_wave(wave: usize, allocator: Option<&str>, memory: [f64; 3]) -> Figure {
    let [before, full, after] = memory;
    let named = allocator.map_or_else(String::new, |library| format!(", {library}"));
    let measured = format!(
        "{} → {} → {}",
        megabytes(before),
        megabytes(full),
        megabytes(after)
    );
    let figure = Figure::told(
        format!("memory before, with and after wave {wave}{named}"),
        measured,
    );
    let kept = (after - before) / (full - before).max(1.0) * 100.0;
    // The allocator of glibc keeps what it has; a second wave must find room in it.
    match (allocator, wave) {
        (None, 1) => figure,
        (None, _) => figure.at_most((after - before) / MIB, 1.0, "MiB more"),
        (Some(_), _) => figure.at_most(kept, 5.0, "% of it kept"),
    }
}

fn closed(told: usize) -> Figure {
    Figure::told("… closed with 3008", thousands(told as f64)).all_of(told, SILENT)
}

/// What becomes of the memory of so many bare sockets, when their clients go.
async fn bare() -> Result<Vec<Figure>, Box<dyn Error>> {
    let server = Remote::start(Kind::Bare, Handler::Echoes).await?;
    let target = server.target(0);
    let mut first = Crowd::new(Manners::Ignores);
    first.open(vec![&target; 50]).await?;
    drop(first);
    tokio::time::sleep(SETTLED).await;
    let before = server.resident()?;
    let mut crowd = Crowd::new(Manners::Ignores);
    crowd.open(vec![&target; SILENT]).await?;
    tokio::time::sleep(SETTLED).await;
    let full = server.resident()?;
    drop(crowd);
    tokio::time::sleep(SETTLED).await;
    let after = server.resident()?;
    server.terminate()?;
    let measured = [before, full, after].map(megabytes).join(" → ");
    Ok(vec![Figure::told(
        "bare axum: memory before, with and after as many idle sockets",
        measured,
    )])
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
    let mut stream = enter(target).await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    stream.write_all(CLOSE).await?;
    Ok(took)
}

/// Opens a socket, says who it is, and hears the application's greeting.
pub(super) async fn enter(target: &Target) -> io::Result<TcpStream> {
    let mut stream = client::open(target).await?;
    stream.write_all(&first_message()).await?;
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).await?;
    match greeting == *GREETING {
        true => Ok(stream),
        false => Err(io::Error::other("no greeting came")),
    }
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
    format!("{:.1} MiB", bytes / MIB)
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

/// An allocator that gives back what is not in use, if the machine has it.
const JEMALLOC: &str = "libjemalloc.so.2";

const MIB: f64 = 1024.0 * 1024.0;
