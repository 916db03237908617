use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_core::{Credential, Identity, Scheme, Verify, VerifyError};

/// A verifier that accepts one token, or every credential.
///
/// ```
/// use portcullis::testing::Accepting;
/// use portcullis::{Credential, Identity, Verify, VerifyError};
///
/// let verifier = Accepting::token("t0k", Identity::new("alice"));
/// let verify = |credential| verifier.verify_now(&credential).unwrap().map(drop);
///
/// assert_eq!(verify(Credential::bearer("t0k")), Ok(()));
/// assert_eq!(verify(Credential::basic("alice", "t0k")), Ok(()));
/// assert_eq!(verify(Credential::basic("bob", "t0k")), Err(VerifyError::Invalid));
/// assert_eq!(verify(Credential::bearer("other")), Err(VerifyError::Invalid));
/// ```
///
/// For several tokens use [`StaticTokens`](crate::StaticTokens).
#[derive(Clone)]
pub struct Accepting {
    token: Option<Box<str>>,
    identity: Identity,
}

impl Accepting {
    /// Accepts `token` in all carriers, and returns `identity`.
    ///
    /// If the token is sent as a password (`Basic`), the user name must be the subject of the
    /// identity.
    pub fn token(token: impl Into<Box<str>>, identity: Identity) -> Self {
        Self {
            token: Some(token.into()),
            identity,
        }
    }

    /// Accepts every credential, and returns `identity`.
    pub fn everything(identity: Identity) -> Self {
        Self {
            token: None,
            identity,
        }
    }

    fn check(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        // Not in constant time, because a test has no attacker.
        let is_accepted = self.token.as_deref().is_none_or(|token| {
            let is_basic = credential.scheme() == Scheme::Basic;
            let has_name = !is_basic || credential.username() == Some(self.identity.subject());
            has_name && token == credential.expose_secret()
        });
        match is_accepted {
            true => Ok(self.identity.clone()),
            false => Err(VerifyError::Invalid),
        }
    }
}

impl Verify for Accepting {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.check(credential)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        Some(self.check(credential))
    }
}

impl fmt::Debug for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepting")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A verifier that refuses every credential with the same error.
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
    error: VerifyError,
}

impl Refusing {
    /// Refuses every credential with `error`.
    pub const fn because(error: VerifyError) -> Self {
        Self { error }
    }
}

impl Verify for Refusing {
    async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
        Err(self.error)
    }

    fn verify_now(&self, _: &Credential) -> Option<Result<Identity, VerifyError>> {
        Some(Err(self.error))
    }
}

/// A verifier that never finishes, so that admission reaches its time limit.
///
/// ```
/// use portcullis::AuthLayer;
/// use portcullis::testing::{Silent, TestClient};
/// # use axum::{Router, routing::get};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let auth = AuthLayer::new(Silent);
/// # let app: Router = Router::new().route("/", get(|| async {})).route_layer(auth);
/// // Tokio's clock is paused, so the ten seconds take no time.
/// let response = TestClient::new(app).get("/").bearer("t0k").send().await;
/// assert_eq!(response.status(), 503);
/// # }
/// ```
#[expect(clippy::exhaustive_structs, reason = "the verifier has no settings")]
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Verify for Silent {
    async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
        std::future::pending().await
    }
}

/// A verifier that counts the calls of another one. All clones share the count.
///
/// A request that is refused before verification, for example for its origin, makes no call:
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
    /// Counts the calls of `verifier`.
    pub fn new(verifier: V) -> Self {
        Self {
            verifier: Arc::new(verifier),
            calls: Arc::default(),
        }
    }

    /// Returns the number of verified credentials.
    ///
    /// A call of `verify_now` that returns `None` does not count, because a call of `verify`
    /// follows.
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
        let result = self.verifier.verify_now(credential);
        if result.is_some() {
            self.count();
        }
        result
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
