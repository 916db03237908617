//! What an echo over TCP costs, guarded and bare: instructions of the server, those of the kernel
//! not included, and processor time, which has both.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::figure::Figure;
use super::pending;
use super::remote::Remote;
use super::server::{Handler, Kind};
use crate::callgrind;
use crate::client;
use crate::report::{median, thousands};

pub(super) async fn measure() -> Result<Vec<Figure>, Box<dyn Error>> {
    let mut figures = Vec::new();
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
        let what = format!("instructions, bare → guarded, {}", message.name);
        figures.push(compared(what, bare, guarded).at_most(more, 2.0, "%"));
        let entered = instructions(Kind::Pending, &message).await?;
        figures.push(compared("… after a first message", bare, entered));
    }
    eprintln!("echoes: processor time");
    let message = Message::new("text, 16 bytes", TEXT, 16);
    let (bare, ratio) = times(&message).await?;
    figures.push(Figure::told(
        format!("processor time with the kernel's, {}", message.name),
        format!("{bare:.1} µs, guarded ÷ bare {ratio:.3}"),
    ));
    Ok(figures)
}

fn compared(what: impl Into<String>, bare: f64, guarded: f64) -> Figure {
    let more = percent_more(guarded, bare);
    let [bare, guarded] = [bare, guarded].map(thousands);
    Figure::told(what, format!("{bare} → {guarded}, {more:+.1} %"))
}

fn percent_more(guarded: f64, bare: f64) -> f64 {
    (guarded / bare - 1.0) * 100.0
}

/// What a client sends, and what comes back.
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
            false => Err(io::Error::other("what came back is no echo")),
        }
    }
}

/// A whole message, masked if it is a client's.
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

/// What an echo costs a server.
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
        Kind::Pending => pending::enter(&server.anonymous()).await?,
        Kind::Bare | Kind::Guarded => client::open(&server.target(0)).await?,
    };
    let mut buffer = vec![0; message.echo.len()];
    for _ in 0..echoes {
        message.exchange(&mut stream, &mut buffer).await?;
    }
    server.terminate()?;
    Ok(callgrind::read(&profile)?.instructions)
}

/// Processor time of an echo with bare axum, in microseconds, and how many times that it takes if
/// it is guarded: medians over turns, of which each has both.
async fn times(message: &Message) -> Result<(f64, f64), Box<dyn Error>> {
    let bare = Remote::start(Kind::Bare, Handler::Echoes).await?;
    let guarded = Remote::start(Kind::Guarded, Handler::Echoes).await?;
    let (mut plain, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let time = time(&bare, message).await?;
        ratios.push(self::time(&guarded, message).await? / time);
        plain.push(time);
    }
    bare.terminate()?;
    guarded.terminate()?;
    let middle = |values| median(values).unwrap_or(f64::NAN);
    Ok((middle(plain), middle(ratios)))
}

/// One turn, of some clients at once; the processor time of an echo, in microseconds.
async fn time(server: &Remote, message: &Message) -> Result<f64, Box<dyn Error>> {
    let mut streams = Vec::new();
    for _ in 0..AT_ONCE {
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

/// So many echoes are counted in one run, and so many in the other; the difference is theirs.
const FEW: u32 = 200;
const MANY: u32 = 1_200;

/// So often each server has its turn, of so long, with so many clients.
const TURNS: u32 = 15;
const TURN: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 32;
