use portcullis_core::{Identity, Verify, VerifyError};

use super::{AndThen, BoxVerifier, CacheConfig, Cached, Map};

/// Ways to make a verifier of another one. Every [`Verify`] has them.
///
/// ```
/// use std::time::Duration;
/// use portcullis::{verify::CacheConfig, VerifyExt};
/// use portcullis::{AuthLayer, Credential, Identity, VerifyError};
///
/// /// What this application knows about a user.
/// struct Account {
///     admin: bool,
/// }
///
/// # async fn introspect(_: &str) -> Option<String> { None }
/// # async fn account_of(_: &str) -> Option<Account> { None }
/// let verifier = (async |credential: Credential| {
///     match introspect(credential.expose_secret()).await {
///         Some(user) => Ok(Identity::new(user)),
///         None => Err(VerifyError::Invalid),
///     }
/// })
/// .and_then(async |identity: Identity| match account_of(identity.subject()).await {
///     Some(account) => Ok(identity.to_builder().claims(account).build()),
///     None => Err(VerifyError::Forbidden),
/// })
/// .cached(CacheConfig::default().time_to_live(Duration::from_secs(30)));
///
/// let auth = AuthLayer::new(verifier);
/// ```
///
/// They wrap what stands before them. Here the account is cached with the identity; a
/// [`cached`](Self::cached) in front of [`and_then`](Self::and_then) would look it up every time.
pub trait VerifyExt: Verify + Sized {
    /// Translates every identity, for example its claims.
    ///
    /// ```
    /// use portcullis::StaticTokens;
    /// use portcullis::VerifyExt;
    ///
    /// enum Caller {
    ///     Service,
    /// }
    ///
    /// let services = StaticTokens::new([("backup", "s3cret")])?
    ///     .map(|identity| identity.to_builder().claims(Caller::Service).build());
    /// # Ok::<_, portcullis::verify::StaticTokenError>(())
    /// ```
    ///
    /// What is answered at once still is.
    fn map<F>(self, translate: F) -> Map<Self, F>
    where
        F: Fn(Identity) -> Identity + Send + Sync + 'static,
    {
        Map::new(self, translate)
    }

    /// Asks a second question about everybody who is accepted: is the account locked, which tenant
    /// is it? The answer is another identity, or a refusal.
    ///
    /// Nothing is answered at once any more. Use [`map`](Self::map) where nothing has to be waited
    /// for.
    fn and_then<F, Fut>(self, ask: F) -> AndThen<Self, F>
    where
        F: Fn(Identity) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Identity, VerifyError>> + Send,
    {
        AndThen::new(self, ask)
    }

    /// Remembers who was accepted, for a short time, and asks once about what many ask at the same
    /// time; see [`Cached`].
    fn cached(self, config: CacheConfig) -> Cached<Self> {
        Cached::new(self, config)
    }

    /// Hides its type, where only a running program knows which verifier it is: a configuration
    /// names one, or a list has several in it.
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
    /// What is answered at once still is, and costs a call through a pointer. What has to be waited
    /// for costs an allocation, for its future.
    fn boxed(self) -> BoxVerifier {
        BoxVerifier::new(self)
    }
}

impl<V: Verify> VerifyExt for V {}
