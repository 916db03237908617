use http::HeaderMap;
use http::header::AUTHORIZATION;
use portcullis_core::{Carrier, Credential, Scheme};

use super::split::{all, is_word};
use super::{MAX_CREDENTIAL, Taken, Unreadable, decode};

/// Reads the `Authorization` header (RFC 9110 §11.6.2).
///
/// The scheme can be in any case. Two `Authorization` headers are malformed, even if they are equal.
/// A header with a scheme that is not accepted is refused, so that a cookie does not decide instead.
///
/// ```
/// use portcullis::Profile;
/// use portcullis::carrier::AuthorizationCarrier;
///
/// let profile = Profile::new("custom").carrier(AuthorizationCarrier::bearer().and_basic());
/// ```
#[derive(Clone, Debug)]
pub struct AuthorizationCarrier {
    bearer: bool,
    basic: bool,
    jupyter: bool,
}

impl AuthorizationCarrier {
    /// Reads `Bearer` tokens (RFC 6750 §2.1): letters, digits and `-._~+/`, then any number of `=`.
    pub const fn bearer() -> Self {
        Self {
            bearer: true,
            basic: false,
            jupyter: false,
        }
    }

    /// Reads `Basic` credentials (RFC 7617) only; see [`and_basic`](Self::and_basic).
    pub const fn basic() -> Self {
        Self {
            bearer: false,
            basic: true,
            jupyter: false,
        }
    }

    /// Reads `Basic` credentials as well, so that `wss://name:password@host/` works. The password is
    /// the secret.
    ///
    /// A browser that once asked for a password sends it again automatically, even for pages of
    /// other sites. So an upgrade with `Basic` and an `Origin` is admitted only if that origin is
    /// allowed.
    #[must_use]
    pub const fn and_basic(self) -> Self {
        Self {
            basic: true,
            ..self
        }
    }

    /// Reads `Bearer` and its alias `token` like Jupyter Server: spaces or tabs separate the scheme
    /// from the token, which can contain any character.
    pub const fn jupyter() -> Self {
        Self {
            bearer: true,
            basic: false,
            jupyter: true,
        }
    }

    /// Returns a carrier that reads what either of the two reads.
    pub(crate) const fn merged_with(self, other: &Self) -> Self {
        Self {
            bearer: self.bearer || other.bearer,
            basic: self.basic || other.basic,
            jupyter: self.jupyter || other.jupyter,
        }
    }

    /// Returns the schemes to name in a challenge.
    pub(crate) fn challenges(&self) -> impl Iterator<Item = Scheme> {
        let bearer = self.bearer.then_some(Scheme::Bearer);
        let basic = self.basic.then_some(Scheme::Basic);
        bearer.into_iter().chain(basic)
    }

    pub(crate) fn take(&self, headers: &mut HeaderMap) -> Taken {
        // If no header occurs twice, as in most requests, there is no second line to look for.
        let may_occur_twice = headers.len() != headers.keys_len();
        if may_occur_twice && headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
            headers.remove(AUTHORIZATION);
            return Err(Unreadable::Malformed("more than one Authorization header"));
        }
        match headers.remove(AUTHORIZATION) {
            Some(line) => self.read(line.as_bytes()),
            None => Ok(None),
        }
    }

    fn read(&self, line: &[u8]) -> Taken {
        let (scheme, secret) = self.split(line).ok_or(Unreadable::Unsupported)?;
        if scheme == Scheme::Basic {
            return read_basic(secret).map(Some);
        }
        if secret.len() > MAX_CREDENTIAL {
            return Err(Unreadable::TooLarge);
        }
        let token = match self.jupyter {
            true => decode::copy(secret)?,
            false => read_b64token(secret)?,
        };
        let credential = Credential::new(Carrier::Authorization, scheme, token);
        Ok(Some(credential))
    }

    /// Splits the line into its scheme, if that is accepted, and the secret.
    fn split<'a>(&self, line: &'a [u8]) -> Option<(Scheme, &'a [u8])> {
        if self.bearer
            && let Some(secret) = self.after_scheme(line, b"Bearer")
        {
            Some((Scheme::Bearer, secret))
        } else if self.jupyter
            && let Some(secret) = self.after_scheme(line, b"token")
        {
            Some((Scheme::Token, secret))
        } else if self.basic
            && let Some(secret) = self.after_scheme(line, b"Basic")
        {
            Some((Scheme::Basic, secret))
        } else {
            None
        }
    }

    fn after_scheme<'a, const N: usize>(
        &self,
        line: &'a [u8],
        scheme: &[u8; N],
    ) -> Option<&'a [u8]> {
        let is_separator = |byte: u8| byte == b' ' || (self.jupyter && byte == b'\t');
        let (name, mut secret) = line.split_at_checked(N)?;
        let is_scheme = is_word(name, scheme) && secret.first().is_none_or(|it| is_separator(*it));
        if !is_scheme {
            return None;
        }
        while let [first, rest @ ..] = secret
            && is_separator(*first)
        {
            secret = rest;
        }
        Some(secret)
    }
}

fn read_basic(encoded: &[u8]) -> Result<Credential, Unreadable> {
    let pair = zeroize::Zeroizing::new(decode::base64_padded(encoded)?);
    // A name contains no colon, but a password can (RFC 7617 §2).
    let (name, password) = pair.split_once(':').ok_or(Unreadable::Malformed(
        "Basic needs a colon between name and password",
    ))?;
    // Many directories treat an empty password as an anonymous login, and accept it.
    match password {
        "" => Err(Unreadable::Malformed("the password is empty")),
        password => Ok(Credential::basic(name, password)),
    }
}

/// RFC 6750 §2.1.
fn read_b64token(token: &[u8]) -> Result<String, Unreadable> {
    const ILLEGAL: Unreadable =
        Unreadable::Malformed("the token contains characters that RFC 6750 does not allow");

    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = &token[..token.len() - padding];
    if body.is_empty() || !all(body, is_legal) {
        return Err(ILLEGAL);
    }
    // The conversion cannot fail: every byte is ASCII.
    String::from_utf8(token.to_vec()).map_err(|_| ILLEGAL)
}

/// Returns whether `byte` is a letter, a digit or one of `-._~+/`.
fn is_legal(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // `-`, `.`, `/` and the digits are adjacent.
    let is_digit_or_mark = byte.wrapping_sub(b'-') < 13;
    is_letter | is_digit_or_mark | (byte == b'+') | (byte == b'_') | (byte == b'~')
}
