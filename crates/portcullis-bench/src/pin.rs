//! Keeps processes on one core each, so that they do not take time from one another.

use std::io;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Servers run on this core …
pub(crate) const SERVER: usize = 0;

/// … and what asks them on this one.
pub(crate) const LOAD: usize = 1;

/// Keeps a process on a core; the present thread, if it is `None`.
pub(crate) fn pin(pid: Option<Pid>, core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(pid, &cores)?)
}
