//! What a handshake costs a server: processor time, and the memory of a socket that idles.
//!
//! Servers are pinned to one core and the load to another. All of them run at once, and take
//! turns in short slices: what else the machine does then disturbs all of them alike, and what is
//! compared is only ever compared within a turn.

mod instructions;
mod peers;
mod server;

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) use self::server::{Kind, serve};
use crate::admission::{TOKEN, base64url};
use crate::client::{self, Target};
use crate::pin::{LOAD, pin};
use crate::process::Server;
use crate::report::{Table, median};

/// What the others are compared with. They are sent the same request as the row with the
/// subprotocol: reading a longer one is hyper's work, and not ours.
const BARE: &str = "axum, default buffers";
const BARE_SMALL: &str = "axum, small buffers";

/// A server, running, or the reason why it does not.
struct Mode {
    name: &'static str,
    running: Result<(Server, Target), String>,
    /// Processor time of each turn, in microseconds for a handshake.
    turns: Vec<f64>,
    /// Memory of an idle socket, in KiB.
    memory: Option<f64>,
    /// Instructions of a handshake, in thousands.
    instructions: Option<f64>,
}

/// How long a turn is.
const SLICE: Duration = Duration::from_secs(1);

/// So many sockets idle when memory is measured.
const SOCKETS: u32 = 1_000;

/// Starts all servers, measures them in turns, and draws the table.
pub(crate) fn table(turns: u32) -> Result<Table, Box<dyn Error>> {
    pin(None, LOAD)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let modes = runtime.block_on(async {
        let mut modes = modes().await?;
        // Before anything else has grown the servers' heaps.
        for mode in &mut modes {
            mode.measure_memory().await?;
            mode.measure_turn(SLICE / 4).await?;
            mode.turns.clear();
        }
        for turn in 1..=turns {
            eprintln!("handshakes: turn {turn} of {turns}");
            for mode in &mut modes {
                mode.measure_turn(SLICE).await?;
            }
        }
        Ok::<_, Box<dyn Error>>(modes)
    })?;
    Ok(draw(&modes))
}

async fn modes() -> Result<Vec<Mode>, Box<dyn Error>> {
    let entries = format!(
        "sec-websocket-protocol: v1.bearer, v1.bearer.{}\r\n",
        base64url(TOKEN)
    );
    let header = format!("authorization: Bearer {TOKEN}\r\n");
    let ours = [
        (BARE, Kind::Bare, &entries),
        (BARE_SMALL, Kind::BareSmall, &entries),
        (
            "`AuthLayer` and `GuardedUpgrade`, token in the subprotocol",
            Kind::Guarded,
            &entries,
        ),
        (
            "`AuthLayer` and `GuardedUpgrade`, token in the header",
            Kind::Guarded,
            &header,
        ),
        (
            "axum and `from_fn`, token in the header, default buffers",
            Kind::FromFn,
            &header,
        ),
        (
            "axum and `from_fn`, token in the header, small buffers",
            Kind::FromFnSmall,
            &header,
        ),
    ];
    let mut modes = Vec::new();
    for (name, kind, header) in ours {
        eprintln!("counting: {name}");
        modes.push(Mode {
            instructions: Some(instructions::thousands(kind, header).await?),
            ..Mode::new(name, Ok(start(kind, header)?))
        });
    }
    for (name, running) in [
        (
            "jupyter_server, `/api/events/subscribe?token=`",
            peers::jupyter_server(),
        ),
        (
            "Python websockets, `?token=` in `process_request`",
            peers::python_websockets(),
        ),
    ] {
        if let Err(why) = &running {
            eprintln!("{name}: {why}");
        }
        modes.push(Mode::new(name, running));
    }
    Ok(modes)
}

/// Starts one of our servers, for requests with `header`.
fn start(kind: Kind, header: &str) -> Result<(Server, Target), Box<dyn Error>> {
    let mut server = Server::start(
        Command::new(std::env::current_exe()?)
            .args(["serve", kind.name()])
            .stdout(Stdio::piped()),
    )?;
    let address = server.first_line()?.parse()?;
    Ok((server, Target::new(address, "/ws", header)))
}

impl Mode {
    fn new(name: &'static str, running: Result<(Server, Target), String>) -> Self {
        Self {
            name,
            running,
            turns: Vec::new(),
            memory: None,
            instructions: None,
        }
    }

    async fn measure_turn(&mut self, slice: Duration) -> Result<(), Box<dyn Error>> {
        let Ok((server, target)) = &self.running else {
            return Ok(());
        };
        let before = server.cpu_seconds()?;
        let handshakes = client::handshakes(target, slice).await?;
        // A socket's end is work of the handshake, too.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let spent = server.cpu_seconds()? - before;
        self.turns.push(spent * 1e6 / handshakes as f64);
        Ok(())
    }

    async fn measure_memory(&mut self) -> Result<(), Box<dyn Error>> {
        let Ok((server, target)) = &self.running else {
            return Ok(());
        };
        // The first ones grow what all later ones share.
        drop(client::sockets(target, 50).await?);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = server.resident_kib()?;
        let open = client::sockets(target, SOCKETS as usize).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let grown = server.resident_kib()? - before;
        drop(open);
        self.memory = Some(grown / f64::from(SOCKETS));
        Ok(())
    }

    /// The median of this mode's time over that of `base` in the same turn.
    fn times(&self, base: &Self) -> Option<f64> {
        let pairs = self.turns.iter().zip(&base.turns);
        median(pairs.map(|(own, base)| own / base).collect())
    }
}

fn draw(modes: &[Mode]) -> Table {
    let mut table = Table::new([
        "",
        "CPU µs, median (min–max)",
        "× default buffers",
        "× small buffers",
        "10³ instructions",
        "KiB of an idle socket",
    ]);
    let find = |name| modes.iter().find(|mode| mode.name == name);
    let ratio = |mode: &Mode, base| {
        let times = find(base).and_then(|base| mode.times(base));
        times.map_or_else(|| "–".to_owned(), |times| format!("{times:.2}"))
    };
    for mode in modes {
        let time = match (&mode.running, median(mode.turns.clone())) {
            (Err(why), _) => why.clone(),
            (Ok(_), None) => "–".to_owned(),
            (Ok(_), Some(median)) => {
                let low = mode.turns.iter().copied().fold(f64::INFINITY, f64::min);
                let high = mode.turns.iter().copied().fold(0.0, f64::max);
                format!("{median:.0} ({low:.0}–{high:.0})")
            }
        };
        let figure =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        table.row([
            mode.name.to_owned(),
            time,
            ratio(mode, BARE),
            ratio(mode, BARE_SMALL),
            figure(mode.instructions),
            figure(mode.memory),
        ]);
    }
    table
}
