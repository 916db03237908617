//! The sockets of a kernel, and the connection file that names them.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::wire::Channel;

/// A private folder with the sockets and the connection file of one kernel. Dropping it deletes the
/// folder.
///
/// Unlike TCP ports, Unix sockets are protected from other users of the machine, and no other
/// process can take one before the kernel binds it.
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
            // Kernels append the "ports" to this path.
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

    /// Returns the path of the connection file.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("connection.json")
    }

    /// Returns the path of a channel's socket. The kernel creates it.
    pub(super) fn socket(&self, channel: Channel) -> PathBuf {
        let port = match channel {
            Channel::Shell => 1,
            Channel::Iopub => 2,
            Channel::Stdin => 3,
            Channel::Control => 4,
        };
        self.folder.path().join(format!("socket-{port}"))
    }

    /// Returns the secret that signs every message.
    pub(super) fn key(&self) -> &[u8] {
        self.key.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn folder_is_private_and_deleted_on_drop() {
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
