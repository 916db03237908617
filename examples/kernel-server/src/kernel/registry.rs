use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;

use super::clients::Farewell;
use super::{Kernel, KernelError, KernelId, KernelSpec, KernelSpecs};
use crate::events::Events;

/// All kernels of the server.
#[derive(Debug)]
pub(crate) struct Kernels {
    specs: KernelSpecs,
    events: Events,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    kernels: BTreeMap<KernelId, Arc<Kernel>>,
    closed: bool,
}

impl Kernels {
    pub(crate) fn new(specs: KernelSpecs, events: Events) -> Self {
        Self {
            specs,
            events,
            running: Mutex::default(),
        }
    }

    /// The kernels that can be started, the default first.
    pub(crate) async fn specs(&self) -> Vec<KernelSpec> {
        let specs = self.specs.clone();
        off_the_runtime(move || specs.list()).await
    }

    /// Starts a kernel of this name, or the default.
    pub(crate) async fn start(&self, name: Option<&str>) -> Result<Arc<Kernel>, KernelError> {
        let (specs, wanted) = (self.specs.clone(), name.map(str::to_owned));
        let spec = off_the_runtime(move || specs.find(wanted.as_deref()))
            .await
            .ok_or_else(|| KernelError::NoSuchSpec(name.unwrap_or("default").to_owned()))?;
        // From here to the end nothing waits: whoever closes the registry meanwhile finds the
        // kernel in it, or it is not started.
        let mut running = self.lock();
        if running.closed {
            return Err(KernelError::Closed);
        }
        let kernel = Kernel::start(spec, self.events.clone())
            .map_err(|error| KernelError::Failed(format!("The kernel does not start: {error}")))?;
        let kernel = Arc::new(kernel);
        running.kernels.insert(kernel.id(), Arc::clone(&kernel));
        Ok(kernel)
    }

    pub(crate) fn find(&self, id: KernelId) -> Result<Arc<Kernel>, KernelError> {
        let kernel = self.lock().kernels.get(&id).map(Arc::clone);
        kernel.ok_or(KernelError::Unknown(id))
    }

    pub(crate) fn list(&self) -> Vec<Arc<Kernel>> {
        self.lock().kernels.values().map(Arc::clone).collect()
    }

    /// Ends one kernel. Done when nothing is left of it.
    pub(crate) async fn shutdown(&self, id: KernelId) -> Result<(), KernelError> {
        let kernel = self.lock().kernels.remove(&id);
        let kernel = kernel.ok_or(KernelError::Unknown(id))?;
        kernel.shutdown(Farewell::KernelGone).await;
        Ok(())
    }

    /// Ends all of them, for good. Done when nothing is left of any.
    pub(crate) async fn close(&self) {
        let kernels = {
            let mut running = self.lock();
            running.closed = true;
            std::mem::take(&mut running.kernels)
        };
        let shutdowns = kernels
            .values()
            .map(|kernel| kernel.shutdown(Farewell::GoingAway));
        join_all(shutdowns).await;
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // Every change under this lock is a single step, so a panic leaves nothing half done.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what reads files where it holds nobody up.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
