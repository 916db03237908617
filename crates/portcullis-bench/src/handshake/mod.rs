//! The CPU time of a handshake, and the memory of an idle socket.
//!
//! Servers are pinned to one core and clients to another. The servers take turns of a second, and
//! times are compared within a turn, so that other load on the machine affects all of them alike.

mod instructions;
mod peers;
mod server;

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) use self::instructions::Check;
pub(crate) use self::server::{Kind, serve};
use crate::admission::{TOKEN, base64url};
use crate::client::{self, Target};
use crate::pin::{CLIENTS, pin};
use crate::process::Server;
use crate::report::{Table, median};

/// The servers that the others are compared with. They receive the request with the subprotocol,
/// since hyper needs more time for a longer request.
const BARE: &str = "axum, default buffers";
const BARE_SMALL: &str = "axum, small buffers";

/// A row of the table.
struct Row {
    name: &'static str,
    /// The running server, or the reason why it does not run.
    running: Result<(Server, Target), String>,
    /// The CPU time of a handshake in each turn, in microseconds.
    turns: Vec<f64>,
    /// The memory of an idle socket in KiB.
    memory: Option<f64>,
    /// The instructions of a handshake in thousands.
    instructions: Option<f64>,
}

/// The length of a turn.
const TURN: Duration = Duration::from_secs(1);

/// The number of idle sockets for the measurement of memory.
const SOCKETS: u32 = 1_000;

/// Measures all servers in turns, and returns the results as a table.
pub(crate) fn table(turns: u32) -> Result<Table, Box<dyn Error>> {
    pin(None, CLIENTS)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rows = runtime.block_on(async {
        let mut rows = rows().await?;
        // First, since other work grows the heaps of the servers.
        for row in &mut rows {
            row.measure_memory().await?;
            row.measure_turn(TURN / 4).await?;
            row.turns.clear();
        }
        for turn in 1..=turns {
            eprintln!("handshakes: turn {turn} of {turns}");
            for row in &mut rows {
                row.measure_turn(TURN).await?;
            }
        }
        Ok::<_, Box<dyn Error>>(rows)
    })?;
    Ok(format(&rows))
}

async fn rows() -> Result<Vec<Row>, Box<dyn Error>> {
    let entries = subprotocol_header();
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
    let mut rows = Vec::new();
    for (name, kind, header) in ours {
        eprintln!("counting: {name}");
        rows.push(Row {
            instructions: Some(instructions::thousands(kind, header).await?),
            ..Row::new(name, Ok(start(kind, header)?))
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
        rows.push(Row::new(name, running));
    }
    Ok(rows)
}

/// Returns the header line with the token in a subprotocol.
fn subprotocol_header() -> String {
    let token = base64url(TOKEN);
    format!("sec-websocket-protocol: v1.bearer, v1.bearer.{token}\r\n")
}

/// Starts a server of this crate, for requests with `header`.
fn start(kind: Kind, header: &str) -> Result<(Server, Target), Box<dyn Error>> {
    let mut server = Server::start(
        Command::new(std::env::current_exe()?)
            .args(["serve", kind.name()])
            .stdout(Stdio::piped()),
    )?;
    let address = server.first_line()?.parse()?;
    Ok((server, Target::new(address, "/ws", header)))
}

impl Row {
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
        // The end of a socket counts, too.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let spent = server.cpu_seconds()? - before;
        self.turns.push(spent * 1e6 / handshakes as f64);
        Ok(())
    }

    async fn measure_memory(&mut self) -> Result<(), Box<dyn Error>> {
        let Ok((server, target)) = &self.running else {
            return Ok(());
        };
        // The first sockets allocate what the later ones share.
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

    /// Returns the median of the ratio to the time of `base` in the same turn.
    fn ratio_to(&self, base: &Self) -> Option<f64> {
        let pairs = self.turns.iter().zip(&base.turns);
        median(pairs.map(|(own, base)| own / base).collect())
    }
}

fn format(rows: &[Row]) -> Table {
    let mut table = Table::new([
        "",
        "CPU µs, median (min–max)",
        "× default buffers",
        "× small buffers",
        "10³ instructions",
        "KiB of an idle socket",
    ]);
    let find = |name| rows.iter().find(|row| row.name == name);
    let ratio = |row: &Row, base| {
        let ratio = find(base).and_then(|base| row.ratio_to(base));
        ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    for row in rows {
        let time = match (&row.running, median(row.turns.clone())) {
            (Err(why), _) => why.clone(),
            (Ok(_), None) => "–".to_owned(),
            (Ok(_), Some(median)) => {
                let low = row.turns.iter().copied().fold(f64::INFINITY, f64::min);
                let high = row.turns.iter().copied().fold(0.0, f64::max);
                format!("{median:.0} ({low:.0}–{high:.0})")
            }
        };
        let number =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        table.row([
            row.name.to_owned(),
            time,
            ratio(row, BARE),
            ratio(row, BARE_SMALL),
            number(row.instructions),
            number(row.memory),
        ]);
    }
    table
}
