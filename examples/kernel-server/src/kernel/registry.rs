use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;

use super::clients::CloseReason;
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

    /// Lists the kernels that can be started, the default first.
    pub(crate) async fn specs(&self) -> Vec<KernelSpec> {
        let specs = self.specs.clone();
        spawn_blocking(move || specs.list()).await
    }

    /// Starts the kernel with this name, or the default.
    pub(crate) async fn start(&self, name: Option<&str>) -> Result<Arc<Kernel>, KernelError> {
        let (specs, owned_name) = (self.specs.clone(), name.map(str::to_owned));
        let spec = spawn_blocking(move || specs.find(owned_name.as_deref()))
            .await
            .ok_or_else(|| KernelError::NoSuchSpec(name.unwrap_or("default").to_owned()))?;
        // The lock is held until the kernel is registered, so that `close` cannot miss it.
        let mut running = self.lock();
        if running.closed {
            return Err(KernelError::Closed);
        }
        let kernel = Kernel::start(spec, self.events.clone())
            .map_err(|error| KernelError::Failed(format!("The kernel did not start: {error}")))?;
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

    /// Shuts down one kernel. Returns when it has ended.
    pub(crate) async fn shutdown(&self, id: KernelId) -> Result<(), KernelError> {
        let kernel = self.lock().kernels.remove(&id);
        let kernel = kernel.ok_or(KernelError::Unknown(id))?;
        kernel.shutdown(CloseReason::KernelShutDown).await;
        Ok(())
    }

    /// Shuts down all kernels and starts no more. Returns when all have ended.
    pub(crate) async fn close(&self) {
        let kernels = {
            let mut running = self.lock();
            running.closed = true;
            std::mem::take(&mut running.kernels)
        };
        let shutdowns = kernels
            .values()
            .map(|kernel| kernel.shutdown(CloseReason::ServerStopping));
        join_all(shutdowns).await;
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // Every change under this lock is a single step, so a panic leaves nothing half done.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work`, which reads files, without blocking the async runtime.
async fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
