//! Other servers, if `tests/run` has installed them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::admission::TOKEN;
use crate::client::Target;
use crate::process::Server;

/// A running server, or the reason why it does not run.
type Peer = Result<(Server, Target), String>;

const WEBSOCKETS: &str = r#"
import asyncio, hmac, http, sys, urllib.parse
from websockets.asyncio.server import serve

token, port = sys.argv[1].encode(), int(sys.argv[2])

def check(connection, request):
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
    if not hmac.compare_digest(query.get("token", [""])[0].encode(), token):
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no")

async def read(connection):
    async for message in connection:
        pass

async def main():
    options = dict(process_request=check, compression=None, backlog=1024)
    async with serve(read, "127.0.0.1", port, **options) as server:
        await server.serve_forever()

asyncio.run(main())
"#;

/// Starts Python's `websockets` with a token check in `process_request`.
pub(super) fn python_websockets() -> Peer {
    let python = installed("python")?;
    let address = free_address()?;
    let mut command = Command::new(python);
    command.args(["-c", WEBSOCKETS, TOKEN, &address.port().to_string()]);
    start(&mut command, address, &format!("/?token={TOKEN}"))
}

/// Starts Jupyter Server. Its socket for events needs no kernel.
pub(super) fn jupyter_server() -> Peer {
    let program = installed("jupyter-server")?;
    let address = free_address()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path();
    let mut command = Command::new(program);
    command
        .args([
            "--allow-root",
            "--no-browser",
            "--ip=127.0.0.1",
            "--ServerApp.port_retries=0",
        ])
        .arg(format!("--port={}", address.port()))
        .arg(format!("--IdentityProvider.token={TOKEN}"))
        .arg(format!("--ServerApp.root_dir={}", path.display()))
        .env("JUPYTER_CONFIG_DIR", path.join("config"))
        .env("JUPYTER_DATA_DIR", path.join("data"))
        .env("JUPYTER_RUNTIME_DIR", path.join("runtime"))
        .env("IPYTHONDIR", path.join("ipython"));
    let target = format!("/api/events/subscribe?token={TOKEN}");
    let (server, target) = start(&mut command, address, &target)?;
    Ok((server.with_folder(folder), target))
}

/// Returns the path of an installed Python program.
fn installed(program: &str) -> Result<PathBuf, String> {
    let cache = match std::env::var_os("PORTCULLIS_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => std::env::home_dir()
            .unwrap_or_default()
            .join(".cache/portcullis"),
    };
    let program = cache.join("peers/python/bin").join(program);
    match program.exists() {
        true => Ok(program),
        false => Err("not installed".to_owned()),
    }
}

/// Returns a free port. These servers do not report a port that the system chooses.
fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| error.to_string())
}

fn start(command: &mut Command, address: SocketAddr, path: &str) -> Peer {
    let server = Server::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
        .map_err(|error| error.to_string())?;
    let end = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > end {
            return Err("did not start within a minute".to_owned());
        }
        sleep(Duration::from_millis(100));
    }
    Ok((server, Target::new(address, path, "")))
}
