use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use portcullis_core::VerifyError;

/// Why a token is refused, for the operator's eyes; see [`Jwt::check`](crate::Jwt::check).
///
/// It holds nothing of the token. Clients learn no more than the [`VerifyError`] it turns into.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JwtError {
    /// Longer than [`MAX_TOKEN_LENGTH`](crate::MAX_TOKEN_LENGTH).
    TooLong,

    /// Not three parts of strict base64url, or not UTF-8 inside.
    Malformed,

    /// The header is not a JSON object with each name once, `alg` a string, and `kid`, `typ` and
    /// `cty` strings if they are there.
    Header,

    /// The header has a `crit`, `b64`, `zip` or `enc`, or a `cty` that announces a nested token.
    Extension,

    /// The header's `typ` is not the one that is asked for.
    Kind,

    /// No key of the set goes by this `kid` and `alg`.
    Key,

    /// The signature is not the key's.
    Signature,

    /// The payload is not a JSON object with each name once, or a registered claim has the wrong
    /// type.
    Claims,

    /// `iss` is absent or somebody else.
    Issuer,

    /// `aud` is absent or does not name us.
    Audience,

    /// `sub` is absent, empty, too long, has control characters, or is not the user name that came
    /// with the token.
    Subject,

    /// `jti` is empty, too long or has control characters.
    TokenId,

    /// `nbf` is still to come.
    NotYetValid,

    /// `iat` is still to come.
    IssuedInFuture,

    /// `exp` is absent.
    NoExpiry,

    /// The claims are not what the application's type asks for.
    Application,

    /// Everything is right, but `exp` has passed.
    Expired,

    /// The clock shows a time before 1970, so nobody can tell.
    Clock,
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is too long",
            Self::Malformed => "the token is not three parts of strict base64url",
            Self::Header => "the token's header is not what RFC 7515 asks for",
            Self::Extension => {
                "the token's header asks for an extension (crit, b64, zip, enc, cty)"
            }
            Self::Kind => "the token's `typ` is not the expected one",
            Self::Key => "no key goes by the token's `kid` and `alg`",
            Self::Signature => "the signature does not hold",
            Self::Claims => "the claims are not JSON, or one of them has the wrong type",
            Self::Issuer => "`iss` is absent or not the expected one",
            Self::Audience => "`aud` is absent or does not name this service",
            Self::Subject => "`sub` is absent, unusable, or not the user name beside the token",
            Self::TokenId => "`jti` is unusable",
            Self::NotYetValid => "`nbf` is still to come",
            Self::IssuedInFuture => "`iat` is still to come",
            Self::NoExpiry => "`exp` is absent",
            Self::Application => "the claims do not fit the application's type",
            Self::Expired => "`exp` has passed",
            Self::Clock => "the clock shows a time before 1970",
        })
    }
}

impl Error for JwtError {}

impl From<JwtError> for VerifyError {
    fn from(error: JwtError) -> Self {
        match error {
            JwtError::Expired => Self::Expired,
            JwtError::Clock => Self::unavailable(),
            _ => Self::Invalid,
        }
    }
}

/// Why a key, a key set or a verifier is not made. It says what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError(Cow<'static, str>);

impl ConfigError {
    pub(crate) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(message.into())
    }

    /// The same, with the place it was found at.
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0).into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ConfigError {}
