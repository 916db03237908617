mod bounds;
mod entries;
mod invalidation;
mod lookups;

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portcullis_core::{Carrier, Clock, Scheme};
use tokio::sync::Semaphore;

use super::*;
use crate::verify::VerifyExt;

const INVALID: VerifyError = VerifyError::Invalid;
const UNAVAILABLE: VerifyError = VerifyError::unavailable();
const SECOND: Duration = Duration::from_secs(1);

/// A clock that advances only when the test advances it.
#[derive(Clone, Debug, Default)]
struct TestClock(Arc<Mutex<Duration>>);

impl TestClock {
    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + *self.0.lock().unwrap()
    }
}

type Answer = fn(&Credential) -> Result<Identity, VerifyError>;

/// A verifier that calls a function, counts its calls, and waits for a permit before it returns.
struct Backend {
    answer: Mutex<Answer>,
    calls: AtomicUsize,
    permits: Semaphore,
    without_waiting: bool,
}

impl Backend {
    fn open(answer: Answer) -> Arc<Self> {
        let backend = Self::gated(answer);
        backend.release(10_000_000);
        backend
    }

    fn gated(answer: Answer) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            calls: AtomicUsize::new(0),
            permits: Semaphore::new(0),
            without_waiting: false,
        })
    }

    fn without_waiting(answer: Answer) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            calls: AtomicUsize::new(0),
            permits: Semaphore::new(0),
            without_waiting: true,
        })
    }

    fn set_answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn release(&self, calls: usize) {
        self.permits.add_permits(calls);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn call(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let answer = *self.answer.lock().unwrap();
        answer(credential)
    }
}

impl Verify for Backend {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let answer = self.call(credential);
        self.permits.acquire().await.unwrap().forget();
        answer
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        self.without_waiting.then(|| self.call(credential))
    }
}

fn accept_all(credential: &Credential) -> Result<Identity, VerifyError> {
    Ok(Identity::new(credential.expose_secret()))
}

fn refuse_all(_: &Credential) -> Result<Identity, VerifyError> {
    Err(INVALID)
}

/// Returns the subject of the identity, or the error.
fn subject(result: Result<Identity, VerifyError>) -> Result<String, VerifyError> {
    result.map(|identity| identity.subject().to_owned())
}

fn accepted(subject: &str) -> Result<String, VerifyError> {
    Ok(subject.to_owned())
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn cached(backend: &Arc<Backend>, config: CacheConfig) -> Cached<Arc<Backend>> {
    Arc::clone(backend).cached(config)
}
