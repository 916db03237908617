use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, SET_COOKIE};
use portcullis_core::{Clock, SystemClock};

use super::message::unix_seconds;
use super::set_cookie::{SetCookies, line};
use super::{CookieKeys, Message};
use crate::carrier::{Unreadable, find_cookie};

/// The cookie that keeps a browser logged in: its name, its attributes and the keys that seal it.
///
/// Hand a clone of it to [`PersistTokenLayer`](crate::PersistTokenLayer), which sets it, and one
/// to a [`Profile`](crate::Profile), which reads it.
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
/// `__Host-` in front of the name, `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/`, no `Domain`, and
/// a lifetime of eight hours, never longer than the credential's own. A browser treats
/// `http://localhost` as secure, so the defaults work there.
///
/// A cookie is at most 4096 bytes, so a long token is spread over up to three: `name`, `name-1`,
/// `name-2`. They open together or not at all.
///
/// # Logging out
///
/// A handler adds [`removal`](Self::removal) to its response. That takes the cookie from one
/// browser; a copy of it, and the token itself, stay good until they end or the verifier stops
/// accepting the token.
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
    /// A cookie named `__Host-` and then `name`.
    ///
    /// # Panics
    ///
    /// If the name is empty, longer than 64 bytes, starts with `__`, or has other characters than
    /// letters, digits, `-`, `_` and `.`.
    pub fn new(name: impl AsRef<str>, keys: CookieKeys) -> Self {
        let name = name.as_ref();
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(
            (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_legal),
            "the name of a sealed cookie is 1 to 64 letters, digits, `-`, `_` and `.`"
        );
        assert!(
            !name.starts_with("__"),
            "the prefix of a sealed cookie's name follows from its attributes"
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

    /// How long the cookie lives at most; eight hours by default.
    ///
    /// The end is inside the seal and checked by the server. It holds whatever the browser does.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Has the browser send the cookie to this path and below only; `/` by default.
    ///
    /// `__Host-` is for `/` alone. With another path the name starts with `__Secure-`.
    ///
    /// # Security
    ///
    /// Whoever can set cookies for a neighbouring domain can plant one of a name without `__Host-`,
    /// and so log the browser in as somebody else, or out. And a path is no boundary: pages of the
    /// same host reach what is below any path.
    ///
    /// # Panics
    ///
    /// If the path does not start with `/`, is longer than 128 bytes, or has a byte that is not
    /// visible ASCII, or a `;`.
    #[must_use]
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        let path = path.into();
        let is_legal = |byte: u8| byte.is_ascii_graphic() && byte != b';';
        assert!(
            path.starts_with('/') && path.len() <= MAX_PATH && path.bytes().all(is_legal),
            "the path of a cookie starts with `/` and is at most 128 visible ASCII characters, \
             none of them a `;`"
        );
        self.path = path;
        self.prefixed()
    }

    /// Drops `Secure` and the `__Host-` in front of the name, for a server that is reached over
    /// plain HTTP on another host than `localhost`.
    ///
    /// # Security
    ///
    /// Whoever can listen on the network can copy the cookie and is logged in from then on.
    /// Whoever can speak on it, or owns a neighbouring domain, can plant one.
    #[must_use]
    pub fn insecure_over_plain_http(mut self) -> Self {
        tracing::warn!("insecure_over_plain_http: whoever listens on the network can log in");
        self.secure = false;
        self.prefixed()
    }

    /// Takes the time from `clock` instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The cookie's whole name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on `keys` seal and open, in every clone of this cookie.
    pub fn replace_keys(&self, keys: CookieKeys) {
        // Nobody panics while holding the lock, and there is nothing half-done to see.
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// The `Set-Cookie` headers that take the cookie, all its parts, from the browser.
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
    /// Make it a `POST` behind [`AuthLayer`](crate::AuthLayer), which asks its `Origin`. Otherwise
    /// a page of somebody else can log your users out.
    pub fn removal(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let lines = self.removal_where(|_| true).into_lines();
        lines.map(|line| (SET_COOKIE, line))
    }

    /// Takes from the browser the parts that `borne` says it has.
    pub(crate) fn remove(&self, borne: &Borne) -> SetCookies {
        self.removal_where(|index| borne.parts[index])
    }

    /// Sets the cookie, and takes away what is left over of a longer one.
    ///
    /// `None` if the credential ends too soon to be worth a cookie.
    pub(crate) fn set(
        &self,
        secret: &str,
        credential_end: Option<SystemTime>,
        borne: &Borne,
    ) -> Option<SetCookies> {
        let lifetime = self.lifetime_until(credential_end);
        let issued = unix_seconds(self.now());
        let expires = issued.saturating_add(lifetime.as_secs());
        let message = Message::new(secret, issued, expires);
        (lifetime.as_secs() > 0).then(|| self.set_message(&message, borne))
    }

    /// Seals a message under the present key. It ends when it would have.
    pub(crate) fn set_message(&self, message: &Message, borne: &Borne) -> SetCookies {
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
        let left_over = self.removal_where(|index| index >= count && borne.parts[index]);
        SetCookies::new(set.chain(left_over.into_lines()))
    }

    /// What a request bears of the cookie.
    pub(crate) fn borne_by(&self, headers: &HeaderMap) -> Borne {
        let find = |part: &str| find_cookie(headers, part);
        Borne {
            message: self.open_message(find),
            // A part that occurs twice is there, too.
            parts: std::array::from_fn(|index| {
                !matches!(find(&part_name(&self.name, index)), Ok(None))
            }),
        }
    }

    /// The secret, from the values of the cookies that hold it.
    pub(crate) fn open<'a>(
        &self,
        find: impl Fn(&str) -> Result<Option<&'a [u8]>, Unreadable>,
    ) -> Result<Option<String>, Unreadable> {
        let message = self.open_message(find)?;
        Ok(message.map(|mut message| std::mem::take(&mut *message.secret)))
    }

    /// Seals `secret` for something else than the cookie. It opens with the same `purpose` only.
    pub(crate) fn seal_for(&self, purpose: &[&str], secret: &str, lifetime: Duration) -> String {
        let issued = unix_seconds(self.now());
        let expires = issued.saturating_add(lifetime.as_secs());
        Message::new(secret, issued, expires).seal(&self.current_keys(), &bound_to(purpose))
    }

    /// What [`seal_for`](Self::seal_for) has sealed for this purpose, if it has not ended.
    pub(crate) fn open_for(&self, purpose: &[&str], sealed: &str) -> Option<Message> {
        let keys = self.current_keys();
        Message::open(sealed.as_bytes(), &keys, &bound_to(purpose), self.now())
    }

    /// Whether a cookie of this name is one of ours, needed or left over from a longer token.
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

    pub(super) fn whole_path(&self) -> &str {
        &self.path
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// How long a cookie for a credential with this end lives from now on.
    fn lifetime_until(&self, credential_end: Option<SystemTime>) -> Duration {
        let rest = |end: SystemTime| end.duration_since(self.now()).unwrap_or_default();
        credential_end.map_or(self.lifetime, |end| rest(end).min(self.lifetime))
    }

    fn removal_where(&self, is_there: impl Fn(usize) -> bool) -> SetCookies {
        let gone = (0..MAX_PARTS).filter(|index| is_there(*index));
        SetCookies::new(
            gone.map(|index| line(self, &part_name(&self.name, index), "", Duration::ZERO)),
        )
    }

    fn open_message<'a>(
        &self,
        find: impl Fn(&str) -> Result<Option<&'a [u8]>, Unreadable>,
    ) -> Result<Option<Message>, Unreadable> {
        let (count, first) = match find(&self.name)? {
            None | Some(b"") => return Ok(None),
            Some([count @ b'1'..=b'9', b'.', first @ ..]) => (usize::from(count - b'0'), first),
            Some(_) => return Err(Unreadable::BrokenSeal),
        };
        if count > MAX_PARTS || first.len() > PART {
            return Err(Unreadable::BrokenSeal);
        }
        let mut sealed = Cow::Borrowed(first);
        for index in 1..count {
            let part = find(&part_name(&self.name, index))?
                .filter(|part| part.len() <= PART)
                .ok_or(Unreadable::BrokenSeal)?;
            sealed.to_mut().extend_from_slice(part);
        }
        Message::open(&sealed, &self.current_keys(), &self.purpose(), self.now())
            .ok_or(Unreadable::BrokenSeal)
            .map(Some)
    }

    /// The keys of the moment. Nobody waits for them but who replaces them.
    fn current_keys(&self) -> RwLockReadGuard<'_, CookieKeys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the seal is good for: this version of this cookie.
    fn purpose(&self) -> Vec<u8> {
        bound_to(&["cookie", &self.name])
    }

    /// With the prefix that the attributes ask for.
    fn prefixed(mut self) -> Self {
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

/// What a request bears of a sealed cookie.
pub(crate) struct Borne {
    /// What the seal holds. `None` if there is no cookie.
    pub(crate) message: Result<Option<Message>, Unreadable>,

    /// Which of the parts are there.
    parts: [bool; MAX_PARTS],
}

impl Borne {
    /// Whether there is anything of the cookie.
    pub(crate) fn is_any(&self) -> bool {
        self.parts.contains(&true)
    }
}

/// The name of the cookie that holds the part of this index.
fn part_name(name: &str, index: usize) -> Cow<'_, str> {
    match index {
        0 => Cow::Borrowed(name),
        _ => Cow::Owned(format!("{name}-{index}")),
    }
}

/// The associated data of a seal. Lengths keep `ab`, `c` and `a`, `bc` apart.
fn bound_to(purpose: &[&str]) -> Vec<u8> {
    const VERSION: &[u8] = b"portcullis seal 1";

    let length: usize = purpose
        .iter()
        .map(|word| size_of::<u64>() + word.len())
        .sum();
    let mut bound_to = Vec::with_capacity(VERSION.len() + length);
    bound_to.extend_from_slice(VERSION);
    for word in purpose {
        bound_to.extend_from_slice(&(word.len() as u64).to_be_bytes());
        bound_to.extend_from_slice(word.as_bytes());
    }
    bound_to
}

const HOST_PREFIX: &str = "__Host-";
const SECURE_PREFIX: &str = "__Secure-";

/// With the attributes and the longest part, a line of `Set-Cookie` stays below 4096 bytes.
const MAX_NAME: usize = 64;
const MAX_PATH: usize = 128;
const PART: usize = 3700;

/// A credential of 8 KiB, sealed and in base64, fits into so many parts.
const MAX_PARTS: usize = 3;
