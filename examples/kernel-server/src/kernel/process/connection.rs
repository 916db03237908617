//! Where a kernel listens, and the file that tells it so.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::wire::Channel;

/// A folder that only we can enter, with the sockets of one kernel and its connection file. It is
/// gone when this is dropped.
///
/// Unix sockets rather than TCP: nobody else on the machine can connect, and no port is taken
/// between the choice and the use of it.
#[derive(Debug)]
pub(super) struct Connection {
    folder: TempDir,
    key: String,
}

impl Connection {
    pub(super) fn create(kernel_name: &str) -> io::Result<Self> {
        let connection = Self {
            folder: tempfile::Builder::new()
                .prefix("kernel-")
                .permissions(Permissions::from_mode(0o700))
                .tempdir()?,
            key: Uuid::new_v4().to_string(),
        };
        let json = json!({
            "transport": "ipc",
            // To a kernel the "ports" are suffixes of this path.
            "ip": connection.folder.path().join("socket"),
            "shell_port": 1,
            "iopub_port": 2,
            "stdin_port": 3,
            "control_port": 4,
            "hb_port": 5,
            "key": connection.key,
            "signature_scheme": "hmac-sha256",
            "kernel_name": kernel_name,
        });
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(connection.file())?
            .write_all(json.to_string().as_bytes())?;
        Ok(connection)
    }

    /// The connection file.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("connection.json")
    }

    /// The socket of a channel. It exists once the kernel listens.
    pub(super) fn socket(&self, channel: Channel) -> PathBuf {
        let port = match channel {
            Channel::Shell => 1,
            Channel::Iopub => 2,
            Channel::Stdin => 3,
            Channel::Control => 4,
        };
        let folder: &Path = self.folder.path();
        folder.join(format!("socket-{port}"))
    }

    /// The secret that signs every message.
    pub(super) fn key(&self) -> &[u8] {
        self.key.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nobody_else_can_read_the_key_and_nothing_stays() {
        let connection = Connection::create("python3").unwrap();
        let file = connection.file();
        let folder = file.parent().unwrap().to_owned();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&file), 0o600);
        drop(connection);
        assert!(!folder.exists());
    }
}
