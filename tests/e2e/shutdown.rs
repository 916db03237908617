//! Kernels that end, and kernels that the server has to end.

use std::time::Duration;

use jupyter_protocol::ExecutionState;
use portcullis_e2e::{Server, Signal};

use crate::kernels::Kernel;

/// A kernel with an idle client, and one that is busy and ignores every polite request to end.
#[tokio::test]
async fn no_kernel_outlives_the_server() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::kernels().start();
        let idle = Kernel::start(server.base(), server.token()).await;
        let mut stubborn = Kernel::start(server.base(), server.token()).await;
        stubborn.begin(STUBBORN).await;
        assert!(server.process().descendants().len() >= 2, "two kernels run");

        let status = server.process().stop(signal, Duration::from_secs(30));
        assert!(status.success(), "{signal:?}: {status}");
        assert_eq!(server.process().descendants(), [], "{signal:?}");
        drop((idle, stubborn));
    }
}

#[tokio::test]
async fn a_kernel_that_dies_says_so() {
    let server = Server::kernels().start();
    let mut kernel = Kernel::start(server.base(), server.token()).await;
    assert_eq!(kernel.run("print(6*7)").await, "42\n");
    let state = kernel.end_by("import os; os._exit(3)").await;
    let told = [
        ExecutionState::Dead,
        ExecutionState::Restarting,
        ExecutionState::AutoRestarting,
    ];
    assert!(told.contains(&state), "{state:?}");
}

const STUBBORN: &str = "\
import signal
for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(polite, signal.SIG_IGN)
print('no', flush=True)
while True:
    pass
";
