use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_core::{Credential, Identity, Scheme, Verify, VerifyError};

/// A verifier that accepts one token, or everything. It answers at once.
///
/// ```
/// use portcullis::testing::Accepting;
/// use portcullis::{Credential, Identity, Verify, VerifyError};
///
/// let verifier = Accepting::token("t0k", Identity::new("alice"));
/// let ask = |credential| verifier.verify_now(&credential).unwrap().map(drop);
///
/// assert_eq!(ask(Credential::bearer("t0k")), Ok(()));
/// assert_eq!(ask(Credential::basic("alice", "t0k")), Ok(()));
/// assert_eq!(ask(Credential::basic("bob", "t0k")), Err(VerifyError::Invalid));
/// assert_eq!(ask(Credential::bearer("other")), Err(VerifyError::Invalid));
/// ```
///
/// For several tokens there is [`StaticTokens`](crate::StaticTokens).
#[derive(Clone)]
pub struct Accepting {
    token: Option<Box<str>>,
    identity: Identity,
}

impl Accepting {
    /// Accepts `token`, whatever carries it, as `identity`. A password needs the identity's subject
    /// as its user name.
    pub fn token(token: impl Into<Box<str>>, identity: Identity) -> Self {
        Self {
            token: Some(token.into()),
            identity,
        }
    }

    /// Accepts every credential as `identity`.
    pub fn everything(identity: Identity) -> Self {
        Self {
            token: None,
            identity,
        }
    }

    fn judge(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        // Not in constant time, as a verifier has to be: a test has nobody to hide from.
        let is_accepted = self.token.as_deref().is_none_or(|token| {
            let is_basic = credential.scheme() == Scheme::Basic;
            let name_fits = !is_basic || credential.username() == Some(self.identity.subject());
            name_fits && token == credential.expose_secret()
        });
        match is_accepted {
            true => Ok(self.identity.clone()),
            false => Err(VerifyError::Invalid),
        }
    }
}

impl Verify for Accepting {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.judge(credential)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        Some(self.judge(credential))
    }
}

impl fmt::Debug for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepting")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A verifier that refuses everything, at once and always for the same reason.
///
/// ```
/// use portcullis::testing::{Refusing, TestClient};
/// use portcullis::{AuthLayer, VerifyError};
/// # use axum::{Router, routing::get};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let auth = AuthLayer::new(Refusing::because(VerifyError::unavailable()));
/// # let app: Router = Router::new().route("/", get(|| async {})).route_layer(auth);
/// let response = TestClient::new(app).get("/").bearer("t0k").send().await;
///
/// assert_eq!(response.status(), 503);
/// assert_eq!(response.header("retry-after"), Some("5"));
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Refusing {
    reason: VerifyError,
}

impl Refusing {
    /// Refuses everything with `reason`.
    pub const fn because(reason: VerifyError) -> Self {
        Self { reason }
    }
}

impl Verify for Refusing {
    async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
        Err(self.reason)
    }

    fn verify_now(&self, _: &Credential) -> Option<Result<Identity, VerifyError>> {
        Some(Err(self.reason))
    }
}

/// A verifier that never answers. Admission gives up after its time limit.
///
/// ```
/// use portcullis::AuthLayer;
/// use portcullis::testing::{Silent, TestClient};
/// # use axum::{Router, routing::get};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let auth = AuthLayer::new(Silent);
/// # let app: Router = Router::new().route("/", get(|| async {})).route_layer(auth);
/// // Tokio's clock is paused, so that the ten seconds pass at once.
/// let response = TestClient::new(app).get("/").bearer("t0k").send().await;
/// assert_eq!(response.status(), 503);
/// # }
/// ```
#[expect(
    clippy::exhaustive_structs,
    reason = "there is nothing to say about silence"
)]
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Verify for Silent {
    async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
        std::future::pending().await
    }
}

/// Counts how often another verifier is asked. All clones share the count.
///
/// What is refused before verification, such as a foreign origin, must not cost a question:
///
/// ```
/// use portcullis::testing::{Accepting, Counting, TestClient};
/// use portcullis::{AuthLayer, Identity};
/// # use axum::{Router, routing::get};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let verifier = Counting::new(Accepting::everything(Identity::new("alice")));
/// let auth = AuthLayer::new(verifier.clone());
/// # let app: Router = Router::new().route("/", get(|| async {})).route_layer(auth);
/// let client = TestClient::new(app);
///
/// client.get("/").send().await;
/// assert_eq!(verifier.calls(), 0);
/// client.get("/").bearer("t0k").send().await;
/// assert_eq!(verifier.calls(), 1);
/// # }
/// ```
#[derive(Debug)]
pub struct Counting<V> {
    verifier: Arc<V>,
    calls: Arc<AtomicUsize>,
}

impl<V> Counting<V> {
    /// Counts how often `verifier` is asked.
    pub fn new(verifier: V) -> Self {
        Self {
            verifier: Arc::new(verifier),
            calls: Arc::default(),
        }
    }

    /// How many credentials it was asked about. One that cannot be told about at once, and is
    /// waited for, counts once.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn count(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }
}

impl<V: Verify> Verify for Counting<V> {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.count();
        self.verifier.verify(credential).await
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        let answer = self.verifier.verify_now(credential);
        if answer.is_some() {
            self.count();
        }
        answer
    }

    fn needs_handshake(&self) -> bool {
        self.verifier.needs_handshake()
    }
}

impl<V> Clone for Counting<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: Arc::clone(&self.verifier),
            calls: Arc::clone(&self.calls),
        }
    }
}
