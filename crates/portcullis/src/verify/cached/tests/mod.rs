mod bounds;
mod invalidation;
mod lookups;
mod remembered;

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

/// A clock that moves when it is told to.
#[derive(Clone, Debug, Default)]
struct Hand(Arc<Mutex<Duration>>);

impl Hand {
    fn turn(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + *self.0.lock().unwrap()
    }
}

type Answers = fn(&Credential) -> Result<Identity, VerifyError>;

/// Asks a function, counts how often, and lets answers out through a gate.
struct Backend {
    answer: Mutex<Answers>,
    asked: AtomicUsize,
    gate: Semaphore,
    at_once: bool,
}

impl Backend {
    fn open(answer: Answers) -> Arc<Self> {
        let backend = Self::gated(answer);
        backend.let_out(10_000_000);
        backend
    }

    fn gated(answer: Answers) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            at_once: false,
        })
    }

    fn at_once(answer: Answers) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            at_once: true,
        })
    }

    fn say(&self, answer: Answers) {
        *self.answer.lock().unwrap() = answer;
    }

    fn let_out(&self, answers: usize) {
        self.gate.add_permits(answers);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn ask(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = *self.answer.lock().unwrap();
        answer(credential)
    }
}

impl Verify for Backend {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let answer = self.ask(credential);
        self.gate.acquire().await.unwrap().forget();
        answer
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        self.at_once.then(|| self.ask(credential))
    }
}

fn knows_everybody(credential: &Credential) -> Result<Identity, VerifyError> {
    Ok(Identity::new(credential.expose_secret()))
}

fn knows_nobody(_: &Credential) -> Result<Identity, VerifyError> {
    Err(INVALID)
}

/// The subject of an answer, or the failure.
fn subject(answer: Result<Identity, VerifyError>) -> Result<String, VerifyError> {
    answer.map(|identity| identity.subject().to_owned())
}

fn good(subject: &str) -> Result<String, VerifyError> {
    Ok(subject.to_owned())
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn cached(backend: &Arc<Backend>, config: CacheConfig) -> Cached<Arc<Backend>> {
    Arc::clone(backend).cached(config)
}
