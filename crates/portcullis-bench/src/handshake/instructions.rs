//! How many instructions a server runs for a handshake, its own and not the kernel's. They repeat,
//! where times do not.

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use super::server::Kind;
use crate::callgrind;
use crate::client::{self, Target};
use crate::process::Server;

const FEW: u32 = 20;
const MANY: u32 = 120;

/// What a handshake with `header` costs a server of this kind, in thousands of instructions.
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
    // The last one's end has to arrive before the server is stopped.
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.terminate()?;
    Ok(callgrind::read(&profile)?.instructions)
}
