//! Pins processes to cores, so that servers and clients do not share one.

use std::io;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The core of the servers.
pub(crate) const SERVER: usize = 0;

/// The core of the clients.
pub(crate) const CLIENTS: usize = 1;

/// Pins a process to a core, or the current thread if `pid` is `None`.
pub(crate) fn pin(pid: Option<Pid>, core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(pid, &cores)?)
}
