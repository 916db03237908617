use portcullis_core::{Identity, Verify, VerifyError};

use super::{AndThen, BoxVerifier, CacheConfig, Cached, Map};

/// Combinators for verifiers. Every [`Verify`] has them.
///
/// ```
/// use std::time::Duration;
/// use portcullis::{verify::CacheConfig, VerifyExt};
/// use portcullis::{AuthLayer, Credential, Identity, VerifyError};
///
/// /// The claims of this application.
/// struct Account {
///     admin: bool,
/// }
///
/// # async fn introspect(_: &str) -> Option<String> { None }
/// # async fn find_account(_: &str) -> Option<Account> { None }
/// let verifier = (async |credential: Credential| {
///     match introspect(credential.expose_secret()).await {
///         Some(user) => Ok(Identity::new(user)),
///         None => Err(VerifyError::Invalid),
///     }
/// })
/// .and_then(async |identity: Identity| match find_account(identity.subject()).await {
///     Some(account) => Ok(identity.to_builder().claims(account).build()),
///     None => Err(VerifyError::Forbidden),
/// })
/// .cached(CacheConfig::default().time_to_live(Duration::from_secs(30)));
///
/// let auth = AuthLayer::new(verifier);
/// ```
///
/// Each combinator wraps everything before it. In this example the cache contains the identity with
/// its account. With [`cached`](Self::cached) before [`and_then`](Self::and_then), every request
/// would look the account up.
pub trait VerifyExt: Verify + Sized {
    /// Changes every accepted identity with a function.
    ///
    /// ```
    /// use portcullis::{StaticTokens, VerifyExt};
    ///
    /// struct Service;
    ///
    /// let services = StaticTokens::new([("backup", "s3cret")])?
    ///     .map(|identity| identity.to_builder().issuer("services").claims(Service).build());
    /// # Ok::<_, portcullis::verify::StaticTokenError>(())
    /// ```
    ///
    /// `verify_now` works as before.
    fn map<F>(self, change: F) -> Map<Self, F>
    where
        F: Fn(Identity) -> Identity + Send + Sync + 'static,
    {
        Map::new(self, change)
    }

    /// Adds a second check for every accepted identity. It returns an identity or a refusal.
    ///
    /// ```
    /// use portcullis::{Identity, StaticTokens, VerifyError, VerifyExt};
    ///
    /// # async fn is_locked(_: &str) -> bool { false }
    /// let tokens = StaticTokens::new([("alice", "s3cret")])?;
    /// let verifier = tokens.and_then(async |identity: Identity| {
    ///     match is_locked(identity.subject()).await {
    ///         true => Err(VerifyError::Forbidden),
    ///         false => Ok(identity),
    ///     }
    /// });
    /// # fn check(_: impl portcullis::Verify) {}
    /// # check(verifier);
    /// # Ok::<_, portcullis::verify::StaticTokenError>(())
    /// ```
    ///
    /// `verify_now` always returns `None`. Use [`map`](Self::map) for a change that does not wait.
    fn and_then<F, Fut>(self, check: F) -> AndThen<Self, F>
    where
        F: Fn(Identity) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Identity, VerifyError>> + Send,
    {
        AndThen::new(self, check)
    }

    /// Caches accepted identities for a short time, and combines concurrent verifications of one
    /// credential; see [`Cached`].
    fn cached(self, config: CacheConfig) -> Cached<Self> {
        Cached::new(self, config)
    }

    /// Erases the type of the verifier.
    ///
    /// Use it if the program selects a verifier at run time, or for a list of different verifiers.
    ///
    /// ```
    /// use portcullis::{verify::{BoxVerifier, StaticTokenError}, VerifyExt};
    /// use portcullis::{AuthLayer, Credential, Identity, StaticTokens, VerifyError};
    ///
    /// # async fn introspect(_: &str) -> Option<String> { None }
    /// fn verifier(token: Option<String>) -> Result<BoxVerifier, StaticTokenError> {
    ///     if let Some(token) = token {
    ///         return Ok(StaticTokens::new([("developer", &*token)])?.boxed());
    ///     }
    ///     let users = async |credential: Credential| {
    ///         match introspect(credential.expose_secret()).await {
    ///             Some(user) => Ok(Identity::new(user)),
    ///             None => Err(VerifyError::Invalid),
    ///         }
    ///     };
    ///     Ok(users.boxed())
    /// }
    ///
    /// let auth = AuthLayer::new(verifier(std::env::var("DEVELOPER_TOKEN").ok())?);
    /// # Ok::<_, StaticTokenError>(())
    /// ```
    ///
    /// `verify_now` works as before, with one dynamic call. `verify` allocates its future.
    fn boxed(self) -> BoxVerifier {
        BoxVerifier::new(self)
    }
}

impl<V: Verify> VerifyExt for V {}
