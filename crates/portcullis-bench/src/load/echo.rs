//! The cost of an echo over TCP, guarded and bare: user instructions of the server, and CPU time
//! including the kernel's.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::pending;
use super::remote::Remote;
use super::result::Measurement;
use super::server::{Handler, Kind};
use crate::callgrind;
use crate::client;
use crate::report::{median, thousands};

pub(super) async fn measure() -> Result<Vec<Measurement>, Box<dyn Error>> {
    let mut measurements = Vec::new();
    for message in [
        Message::new("binary, 16 bytes", BINARY, 16),
        Message::new("text, 16 bytes", TEXT, 16),
        Message::new("binary, 1 KiB", BINARY, 1024),
        Message::new("text, 1 KiB", TEXT, 1024),
    ] {
        eprintln!("echoes: {}", message.name);
        let bare = instructions(Kind::Bare, &message).await?;
        let guarded = instructions(Kind::Guarded, &message).await?;
        let more = percent_more(guarded, bare);
        let name = format!("instructions, bare → guarded, {}", message.name);
        measurements.push(compare(name, bare, guarded).at_most(more, 2.0, "%"));
        let pending = instructions(Kind::Pending, &message).await?;
        measurements.push(compare("… after a first message", bare, pending));
    }
    eprintln!("echoes: CPU time");
    let message = Message::new("text, 16 bytes", TEXT, 16);
    let (bare, ratio) = times(&message).await?;
    measurements.push(Measurement::new(
        format!("CPU time including the kernel's, {}", message.name),
        format!("{bare:.1} µs, guarded ÷ bare {ratio:.3}"),
    ));
    Ok(measurements)
}

fn compare(name: impl Into<String>, bare: f64, guarded: f64) -> Measurement {
    let more = percent_more(guarded, bare);
    let [bare, guarded] = [bare, guarded].map(thousands);
    Measurement::new(name, format!("{bare} → {guarded}, {more:+.1} %"))
}

fn percent_more(guarded: f64, bare: f64) -> f64 {
    (guarded / bare - 1.0) * 100.0
}

/// The frame that a client sends, and the frame that it expects.
#[derive(Clone)]
struct Message {
    name: &'static str,
    sent: Vec<u8>,
    echo: Vec<u8>,
}

impl Message {
    fn new(name: &'static str, opcode: u8, length: u16) -> Self {
        Self {
            name,
            sent: frame(opcode, Some([0x5a, 0x11, 0xc3, 0x7e]), length),
            echo: frame(opcode, None, length),
        }
    }

    async fn exchange(&self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
        stream.write_all(&self.sent).await?;
        stream.read_exact(buffer).await?;
        match buffer == self.echo {
            true => Ok(()),
            false => Err(io::Error::other("the response is not an echo")),
        }
    }
}

/// Encodes a message in one frame, masked for a client.
fn frame(opcode: u8, mask: Option<[u8; 4]>, length: u16) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match u8::try_from(length) {
        Ok(short @ ..126) => frame.push(masked | short),
        _ => {
            frame.push(masked | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(mask.into_iter().flatten());
    let mask = mask.unwrap_or_default().into_iter().cycle();
    frame.extend(mask.take(length.into()).map(|mask| b'a' ^ mask));
    frame
}

/// Returns the user instructions of an echo.
async fn instructions(kind: Kind, message: &Message) -> Result<f64, Box<dyn Error>> {
    let few = run(kind, message, FEW).await?;
    let many = run(kind, message, MANY).await?;
    Ok((many - few) / f64::from(MANY - FEW))
}

async fn run(kind: Kind, message: &Message, echoes: u32) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("callgrind.out");
    let mut valgrind = callgrind::valgrind(&profile);
    let server = Remote::start_with(valgrind.arg(std::env::current_exe()?), &kind.echoing())
        .await
        .map_err(callgrind::name_valgrind)?;
    let mut stream = match kind {
        Kind::Pending => pending::authenticate(&server.anonymous()).await?,
        Kind::Bare | Kind::Guarded => client::open(&server.target(0)).await?,
    };
    let mut buffer = vec![0; message.echo.len()];
    for _ in 0..echoes {
        message.exchange(&mut stream, &mut buffer).await?;
    }
    server.terminate()?;
    Ok(callgrind::read(&profile)?.instructions)
}

/// Returns the CPU time of an echo with bare axum in microseconds, and the ratio of the guarded time
/// to it: medians of turns with both servers.
async fn times(message: &Message) -> Result<(f64, f64), Box<dyn Error>> {
    let bare = Remote::start(Kind::Bare, Handler::Echo).await?;
    let guarded = Remote::start(Kind::Guarded, Handler::Echo).await?;
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let time = time(&bare, message).await?;
        ratios.push(self::time(&guarded, message).await? / time);
        times.push(time);
    }
    bare.terminate()?;
    guarded.terminate()?;
    let middle = |values| median(values).unwrap_or(f64::NAN);
    Ok((middle(times), middle(ratios)))
}

/// Returns the CPU time of an echo in one turn with concurrent clients, in microseconds.
async fn time(server: &Remote, message: &Message) -> Result<f64, Box<dyn Error>> {
    let mut streams = Vec::new();
    for _ in 0..CLIENTS {
        streams.push(client::open(&server.target(0)).await?);
    }
    let before = server.cpu_seconds()?;
    let end = Instant::now() + TURN;
    let mut clients: JoinSet<io::Result<u64>> = JoinSet::new();
    for mut stream in streams {
        let message = message.clone();
        clients.spawn(async move {
            let mut buffer = vec![0; message.echo.len()];
            let mut done = 0;
            while Instant::now() < end {
                message.exchange(&mut stream, &mut buffer).await?;
                done += 1;
            }
            Ok(done)
        });
    }
    let mut done = 0;
    while let Some(client) = clients.join_next().await {
        done += client??;
    }
    Ok((server.cpu_seconds()? - before) * 1e6 / done as f64)
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// The numbers of echoes in two runs. The difference in instructions is that of the additional ones.
const FEW: u32 = 200;
const MANY: u32 = 1_200;

/// The number of turns for each server, their length, and the number of clients in each.
const TURNS: u32 = 15;
const TURN: Duration = Duration::from_secs(1);
const CLIENTS: usize = 32;
