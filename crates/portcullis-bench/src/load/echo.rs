//! Instructions of an echo over TCP, those of the kernel not included, guarded and bare.

use std::error::Error;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::figure::Figure;
use super::remote::Remote;
use super::server::{Handler, Kind, Setup};
use crate::callgrind;
use crate::client;
use crate::report::thousands;

pub(super) async fn measure() -> Result<Vec<Figure>, Box<dyn Error>> {
    let mut figures = Vec::new();
    for length in [16, 1024] {
        eprintln!("echoes of {length} bytes");
        let bare = instructions(Kind::Bare, length).await?;
        let guarded = instructions(Kind::Guarded, length).await?;
        let more = (guarded / bare - 1.0) * 100.0;
        figures.push(Figure::told(
            format!("bare axum, {length} bytes"),
            format!("{} instructions", thousands(bare)),
        ));
        figures.push(
            Figure::told(
                format!("guarded, {length} bytes"),
                format!("{} instructions, {more:+.1} %", thousands(guarded)),
            )
            .at_most(more, 2.0, "%"),
        );
    }
    Ok(figures)
}

/// What an echo of a message of so many bytes costs a server.
async fn instructions(kind: Kind, length: u16) -> Result<f64, Box<dyn Error>> {
    let few = run(kind, length, FEW).await?;
    let many = run(kind, length, MANY).await?;
    Ok((many - few) / f64::from(MANY - FEW))
}

async fn run(kind: Kind, length: u16, echoes: u32) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("callgrind.out");
    let setup = Setup {
        kind,
        handler: Handler::Echoes,
        ends_at: None,
    };
    let mut valgrind = callgrind::valgrind(&profile);
    let server = Remote::start_with(valgrind.arg(std::env::current_exe()?), &setup)
        .await
        .map_err(callgrind::name_valgrind)?;
    let mut stream = client::open(&server.target(0)).await?;
    let message = frame(true, length);
    let echo = frame(false, length);
    let mut received = vec![0; echo.len()];
    for _ in 0..echoes {
        stream.write_all(&message).await?;
        stream.read_exact(&mut received).await?;
        if received != echo {
            return Err(io::Error::other("what came back is no echo").into());
        }
    }
    server.terminate()?;
    Ok(callgrind::read(&profile)?.instructions)
}

/// A text message, masked if it is a client's.
fn frame(is_masked: bool, length: u16) -> Vec<u8> {
    let mask = [0x5a, 0x11, 0xc3, 0x7e];
    let mut frame = vec![0x81];
    let masked = if is_masked { 0x80 } else { 0 };
    match u8::try_from(length) {
        Ok(short @ ..126) => frame.push(masked | short),
        _ => {
            frame.push(masked | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    let text = (0..length).map(|_| b'a');
    if is_masked {
        frame.extend(mask);
        frame.extend(
            text.zip(mask.into_iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
    } else {
        frame.extend(text);
    }
    frame
}

const FEW: u32 = 200;
const MANY: u32 = 1_200;
