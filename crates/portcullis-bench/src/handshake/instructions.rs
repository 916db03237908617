//! User instructions of a server for a handshake. Unlike times, they are reproducible.

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use super::server::Kind;
use super::subprotocol_header;
use crate::callgrind;
use crate::client::{self, Target};
use crate::process::Server;
use crate::report::Table;

/// The instructions of a guarded handshake with the token in a subprotocol, and their budget.
pub(crate) struct Check {
    bare: f64,
    guarded: f64,
}

impl Check {
    /// The limit in thousands.
    const BUDGET: f64 = 80.0;

    pub(crate) fn measure() -> Result<Self, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let header = subprotocol_header();
        eprintln!("counting: handshakes");
        runtime.block_on(async {
            Ok(Self {
                bare: thousands(Kind::BareSmall, &header).await?,
                guarded: thousands(Kind::Guarded, &header).await?,
            })
        })
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.guarded > Self::BUDGET
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(["handshake", "10³ instructions", "budget"]);
        let number = |value| format!("{value:.1}");
        let (bare, guarded) = (number(self.bare), number(self.guarded));
        table.row(["bare, same buffers".to_owned(), bare, String::new()]);
        table.row(["guarded".to_owned(), guarded, number(Self::BUDGET)]);
        table
    }
}

const FEW: u32 = 20;
const MANY: u32 = 120;

/// Returns the instructions of a handshake with `header`, in thousands.
pub(super) async fn thousands(kind: Kind, header: &str) -> Result<f64, Box<dyn Error>> {
    let few = run(kind, header, FEW).await?;
    let many = run(kind, header, MANY).await?;
    Ok((many - few) / f64::from(MANY - FEW) / 1e3)
}

async fn run(kind: Kind, header: &str, handshakes: u32) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("callgrind.out");
    let mut server = Server::start(
        callgrind::valgrind(&profile)
            .arg(std::env::current_exe()?)
            .args(["serve", kind.name()])
            .stdout(Stdio::piped()),
    )
    .map_err(callgrind::name_valgrind)?;
    let target = Target::new(server.first_line()?.parse()?, "/ws", header);
    for _ in 0..handshakes {
        client::one(&target).await?;
    }
    // The server has to process the end of the last socket first.
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.terminate()?;
    Ok(callgrind::read(&profile)?.instructions)
}
