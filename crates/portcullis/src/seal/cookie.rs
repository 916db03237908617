use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use http::header::{HeaderName, HeaderValue, SET_COOKIE};
use portcullis_core::{Clock, SystemClock};

use super::message::unix_seconds;
use super::set_cookie::{SetCookies, line};
use super::{CookieKeys, Message};

/// An encrypted cookie that keeps a browser logged in: its name, its attributes and its keys.
///
/// Give one clone to [`PersistTokenLayer`](crate::PersistTokenLayer), which sets the cookie, and
/// another to a [`Profile`](crate::Profile), which reads it:
///
/// ```
/// use portcullis::{seal::{CookieKey, CookieKeys, SealedCookie}, Profile};
///
/// let cookie = SealedCookie::new("session", CookieKeys::new(&CookieKey::generate()));
/// assert_eq!(cookie.name(), "__Host-session");
///
/// let profile = Profile::default().carrier(cookie.clone());
/// ```
///
/// # Defaults
///
/// The name starts with `__Host-`. The attributes are `Secure`, `HttpOnly`, `SameSite=Lax`,
/// `Path=/` and no `Domain`. The cookie lives for eight hours, and never longer than the
/// credential. Browsers treat `http://localhost` as secure, so the defaults work there.
///
/// A cookie has at most 4096 bytes, so a long token is split into up to three cookies: `name`,
/// `name-1`, `name-2`. They open only together.
///
/// # Logging out
///
/// A handler adds [`removal`](Self::removal) to its response. This removes the cookie from one
/// browser. A copy of the cookie, and the token itself, stay valid until they expire or the
/// verifier refuses the token.
#[derive(Clone)]
pub struct SealedCookie {
    name: String,
    path: Cow<'static, str>,
    secure: bool,
    lifetime: Duration,
    keys: Arc<RwLock<CookieKeys>>,
    clock: Arc<dyn Clock>,
}

impl SealedCookie {
    /// Creates a cookie with the name `__Host-` followed by `name`.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, is longer than 64 bytes, starts with `__`, or contains other
    /// characters than letters, digits, `-`, `_` and `.`.
    pub fn new(name: impl AsRef<str>, keys: CookieKeys) -> Self {
        let name = name.as_ref();
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(
            (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_legal),
            "the name of a sealed cookie is 1 to 64 letters, digits, `-`, `_` and `.`"
        );
        assert!(
            !name.starts_with("__"),
            "the name of a sealed cookie does not start with `__`: the prefix follows from the \
             attributes"
        );
        Self {
            name: format!("{HOST_PREFIX}{name}"),
            path: Cow::Borrowed("/"),
            secure: true,
            lifetime: Duration::from_secs(8 * 3600),
            keys: Arc::new(RwLock::new(keys)),
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets the maximum lifetime of the cookie; eight hours by default.
    ///
    /// The end is a part of the encrypted content, and the server checks it. It applies even if
    /// the browser keeps the cookie longer.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets the `Path` attribute: browsers send the cookie to this path and below; `/` by default.
    ///
    /// Browsers accept `__Host-` for `/` only. With another path the name starts with `__Secure-`.
    ///
    /// # Security
    ///
    /// A site on a neighboring domain can set a cookie without `__Host-` in the user's browser. So
    /// it can log the browser in as another user, or log it out. A path does not separate
    /// applications: pages of the same host can send requests to every path.
    ///
    /// # Panics
    ///
    /// Panics if the path does not start with `/`, is longer than 128 bytes, or contains a `;` or a
    /// byte that is not visible ASCII.
    #[must_use]
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        let path = path.into();
        let is_legal = |byte: u8| byte.is_ascii_graphic() && byte != b';';
        assert!(
            path.starts_with('/') && path.len() <= MAX_PATH && path.bytes().all(is_legal),
            "the path of a cookie starts with `/` and is at most 128 visible ASCII characters \
             without `;`"
        );
        self.path = path;
        self.with_prefix()
    }

    /// Removes `Secure` and the prefix of the name, for a server that browsers reach over plain
    /// HTTP on another host than `localhost`.
    ///
    /// # Security
    ///
    /// An attacker on the network can copy the cookie and use it, or replace it. A site on a
    /// neighboring domain can replace it, too.
    #[must_use]
    pub fn insecure_over_plain_http(mut self) -> Self {
        tracing::warn!(
            "insecure_over_plain_http: an attacker on the network can copy the cookie and log in"
        );
        self.secure = false;
        self.with_prefix()
    }

    /// Sets the clock; the system clock by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the name of the cookie with its prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the keys in this cookie and all its clones.
    pub fn replace_keys(&self, keys: CookieKeys) {
        // The lock is never held where code can panic, so a poisoned one is intact.
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Returns the `Set-Cookie` headers that remove the cookie from the browser.
    ///
    /// ```
    /// use axum::response::{AppendHeaders, IntoResponse, Redirect};
    /// use axum::{Router, extract::State, routing::post};
    /// use portcullis::seal::{CookieKey, CookieKeys, SealedCookie};
    ///
    /// async fn log_out(State(cookie): State<SealedCookie>) -> impl IntoResponse {
    ///     (AppendHeaders(cookie.removal()), Redirect::to("/"))
    /// }
    ///
    /// let cookie = SealedCookie::new("session", CookieKeys::new(&CookieKey::generate()));
    /// let app: Router = Router::new().route("/logout", post(log_out)).with_state(cookie);
    /// ```
    ///
    /// Use a `POST` route behind [`AuthLayer`](crate::AuthLayer), which checks its `Origin`.
    /// Otherwise a page of another site can log your users out.
    pub fn removal(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let lines = self.removal_of(|_| true).into_lines();
        lines.map(|line| (SET_COOKIE, line))
    }

    /// Removes the parts of the cookie that the browser has sent.
    pub(crate) fn remove<E>(&self, received: &ReceivedCookie<E>) -> SetCookies {
        self.removal_of(|index| received.parts[index])
    }

    /// Sets the cookie, and removes those parts of a longer one that it does not replace.
    ///
    /// Returns `None` if the credential ends within a second.
    pub(crate) fn set<E>(
        &self,
        secret: &str,
        credential_end: Option<SystemTime>,
        received: &ReceivedCookie<E>,
    ) -> Option<SetCookies> {
        let lifetime = self.lifetime_until(credential_end);
        let issued = unix_seconds(self.now());
        let expires = issued.saturating_add(lifetime.as_secs());
        let message = Message::new(secret, issued, expires);
        (lifetime.as_secs() > 0).then(|| self.set_message(&message, received))
    }

    /// Seals a message with the present key. Its end stays the same.
    pub(crate) fn set_message<E>(
        &self,
        message: &Message,
        received: &ReceivedCookie<E>,
    ) -> SetCookies {
        let sealed = message.seal(&self.current_keys(), &self.purpose());
        let rest = message.expires.saturating_sub(unix_seconds(self.now()));
        let rest = Duration::from_secs(rest);
        let count = sealed.len().div_ceil(PART);
        let parts = sealed.as_bytes().chunks(PART).enumerate();
        let set = parts.map(|(index, part)| {
            let part = std::str::from_utf8(part).expect("base64 is ASCII");
            let name = part_name(&self.name, index);
            match index {
                0 => line(self, &name, &format!("{count}.{part}"), rest),
                _ => line(self, &name, part, rest),
            }
        });
        let unused = self.removal_of(|index| index >= count && received.parts[index]);
        SetCookies::new(set.chain(unused.into_lines()))
    }

    /// Reads the cookie from a request. `find` returns the value of a cookie by its name.
    pub(crate) fn read<'a, E>(
        &self,
        find: impl Fn(&str) -> Result<Option<&'a [u8]>, E>,
    ) -> ReceivedCookie<E> {
        ReceivedCookie {
            message: self.open_message(&find),
            // An error counts as present: the cookie may occur twice.
            parts: std::array::from_fn(|index| {
                !matches!(find(&part_name(&self.name, index)), Ok(None))
            }),
        }
    }

    /// Returns the secret in the cookie, if there is one. `find` returns the value of a cookie by
    /// its name.
    pub(crate) fn open<'a, E>(
        &self,
        find: impl Fn(&str) -> Result<Option<&'a [u8]>, E>,
    ) -> Result<Option<String>, OpenError<E>> {
        let message = self.open_message(find)?;
        Ok(message.map(|mut message| std::mem::take(&mut *message.secret)))
    }

    /// Seals `secret` for another use than the cookie. It opens with the same `purpose` only.
    pub(crate) fn seal_for(&self, purpose: &[&str], secret: &str, lifetime: Duration) -> String {
        let issued = unix_seconds(self.now());
        let expires = issued.saturating_add(lifetime.as_secs());
        Message::new(secret, issued, expires).seal(&self.current_keys(), &associated_data(purpose))
    }

    /// Opens the result of [`seal_for`](Self::seal_for); `None` if the purpose differs or the
    /// lifetime has ended.
    pub(crate) fn open_for(&self, purpose: &[&str], sealed: &str) -> Option<Message> {
        let keys = self.current_keys();
        Message::open(
            sealed.as_bytes(),
            &keys,
            &associated_data(purpose),
            self.now(),
        )
    }

    /// Returns whether `name` is the name of one of the up to three cookies.
    pub(crate) fn is_part(&self, name: &[u8]) -> bool {
        match name.strip_prefix(self.name.as_bytes()) {
            Some([]) => true,
            Some([b'-', digit @ b'1'..=b'9']) => usize::from(digit - b'0') < MAX_PARTS,
            _ => false,
        }
    }

    pub(super) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(super) fn attribute_path(&self) -> &str {
        &self.path
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Returns how long a cookie lives from now on if its credential has this end.
    fn lifetime_until(&self, credential_end: Option<SystemTime>) -> Duration {
        let rest = |end: SystemTime| end.duration_since(self.now()).unwrap_or_default();
        credential_end.map_or(self.lifetime, |end| rest(end).min(self.lifetime))
    }

    fn removal_of(&self, is_removed: impl Fn(usize) -> bool) -> SetCookies {
        let removed = (0..MAX_PARTS).filter(|index| is_removed(*index));
        SetCookies::new(
            removed.map(|index| line(self, &part_name(&self.name, index), "", Duration::ZERO)),
        )
    }

    fn open_message<'a, E>(
        &self,
        find: impl Fn(&str) -> Result<Option<&'a [u8]>, E>,
    ) -> Result<Option<Message>, OpenError<E>> {
        let find = |name: &str| find(name).map_err(OpenError::Find);
        let (count, first) = match find(&self.name)? {
            None | Some(b"") => return Ok(None),
            Some([count @ b'1'..=b'9', b'.', first @ ..]) => (usize::from(count - b'0'), first),
            Some(_) => return Err(OpenError::BrokenSeal),
        };
        if count > MAX_PARTS || first.len() > PART {
            return Err(OpenError::BrokenSeal);
        }
        let mut sealed = Cow::Borrowed(first);
        for index in 1..count {
            let part = find(&part_name(&self.name, index))?
                .filter(|part| part.len() <= PART)
                .ok_or(OpenError::BrokenSeal)?;
            sealed.to_mut().extend_from_slice(part);
        }
        Message::open(&sealed, &self.current_keys(), &self.purpose(), self.now())
            .ok_or(OpenError::BrokenSeal)
            .map(Some)
    }

    fn current_keys(&self) -> RwLockReadGuard<'_, CookieKeys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the associated data that bind a value to the name of the cookie.
    fn purpose(&self) -> Vec<u8> {
        associated_data(&["cookie", &self.name])
    }

    /// Gives the name the prefix that browsers require for the attributes.
    fn with_prefix(mut self) -> Self {
        let prefix = match (self.secure, &*self.path) {
            (true, "/") => HOST_PREFIX,
            (true, _) => SECURE_PREFIX,
            (false, _) => "",
        };
        let name = [HOST_PREFIX, SECURE_PREFIX]
            .iter()
            .find_map(|prefix| self.name.strip_prefix(prefix))
            .unwrap_or(&self.name);
        self.name = format!("{prefix}{name}");
        self
    }
}

impl fmt::Debug for SealedCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedCookie")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("secure", &self.secure)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// A sealed cookie as a request contains it. `E` is the error of the lookup by name.
pub(crate) struct ReceivedCookie<E> {
    /// The decrypted content; `None` if the request has no cookie.
    pub(crate) message: Result<Option<Message>, OpenError<E>>,

    /// Which of the parts the request contains.
    parts: [bool; MAX_PARTS],
}

impl<E> ReceivedCookie<E> {
    /// Returns whether the request contains any part of the cookie.
    pub(crate) fn is_present(&self) -> bool {
        self.parts.contains(&true)
    }
}

/// Why a sealed cookie does not open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OpenError<E> {
    /// The value was not sealed by one of the keys for this name, or it has expired.
    BrokenSeal,

    /// The lookup by name failed.
    Find(E),
}

/// Returns the name of the cookie that contains the part with this index.
fn part_name(name: &str, index: usize) -> Cow<'_, str> {
    match index {
        0 => Cow::Borrowed(name),
        _ => Cow::Owned(format!("{name}-{index}")),
    }
}

/// Encodes a purpose. The lengths distinguish `ab`, `c` from `a`, `bc`.
fn associated_data(purpose: &[&str]) -> Vec<u8> {
    const VERSION: &[u8] = b"portcullis seal 1";

    let length: usize = purpose
        .iter()
        .map(|part| size_of::<u64>() + part.len())
        .sum();
    let mut data = Vec::with_capacity(VERSION.len() + length);
    data.extend_from_slice(VERSION);
    for part in purpose {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}

const HOST_PREFIX: &str = "__Host-";
const SECURE_PREFIX: &str = "__Secure-";

/// With the attributes and the longest part, a `Set-Cookie` line has less than 4096 bytes.
const MAX_NAME: usize = 64;
const MAX_PATH: usize = 128;
const PART: usize = 3700;

/// A credential of 8 KiB, sealed and in base64, needs this many parts.
const MAX_PARTS: usize = 3;
