//! The end of kernels: after a crash, and with the server.

use std::time::Duration;

use jupyter_protocol::ExecutionState;
use portcullis_e2e::{Server, Signal};

use crate::kernels::Kernel;

/// One kernel is idle, and the other one is busy and ignores signals.
#[tokio::test]
async fn all_kernels_end_with_the_server() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::kernels().start();
        let idle = Kernel::start(server.base(), server.token()).await;
        let mut stubborn = Kernel::start(server.base(), server.token()).await;
        stubborn.start_cell(STUBBORN).await;
        assert!(server.process().descendants().len() >= 2, "two kernels run");

        let status = server.process().stop(signal, Duration::from_secs(30));
        assert!(status.success(), "{signal:?}: {status}");
        assert_eq!(server.process().descendants(), [], "{signal:?}");
        drop((idle, stubborn));
    }
}

#[tokio::test]
async fn the_server_reports_a_dead_kernel() {
    let server = Server::kernels().start();
    let mut kernel = Kernel::start(server.base(), server.token()).await;
    assert_eq!(kernel.run("print(6*7)").await, "42\n");
    let state = kernel.run_until_dead("import os; os._exit(3)").await;
    let expected = [
        ExecutionState::Dead,
        ExecutionState::Restarting,
        ExecutionState::AutoRestarting,
    ];
    assert!(expected.contains(&state), "{state:?}");
}

const STUBBORN: &str = "\
import signal
for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(ignored, signal.SIG_IGN)
print('ready', flush=True)
while True:
    pass
";
