use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use portcullis_core::VerifyError;

/// The reason why a token is refused, for the operator; see [`Jwt::check`](crate::Jwt::check).
///
/// It contains nothing of the token. A client learns only the [`VerifyError`] that it converts to.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JwtError {
    /// The token is longer than [`MAX_TOKEN_LENGTH`](crate::MAX_TOKEN_LENGTH).
    TooLong,

    /// The token does not consist of three parts of strict base64url, or they are not UTF-8.
    Malformed,

    /// The header is not a JSON object with unique names, has no string `alg`, or its `kid`, `typ`
    /// or `cty` is not a string.
    Header,

    /// The header contains `crit`, `b64`, `zip` or `enc`, or a `cty` that announces a nested token.
    Extension,

    /// `typ` is not the expected one; see [`JwtBuilder::kind`](crate::JwtBuilder::kind).
    Kind,

    /// No key of the set matches `kid` and `alg`; see [`KeySet`](crate::KeySet).
    Key,

    /// The signature is not valid for the key.
    Signature,

    /// The payload is not a JSON object with unique names, or a registered claim has the wrong
    /// type.
    Claims,

    /// `iss` is missing or is not the expected issuer.
    Issuer,

    /// `aud` is missing or does not contain an expected audience.
    Audience,

    /// `sub` is missing, empty, longer than [`MAX_NAME_LENGTH`](crate::MAX_NAME_LENGTH) or contains
    /// control characters, or it differs from the user name that was sent with the token.
    Subject,

    /// `jti` is empty, longer than [`MAX_NAME_LENGTH`](crate::MAX_NAME_LENGTH) or contains control
    /// characters.
    TokenId,

    /// `nbf` is in the future.
    NotYetValid,

    /// `iat` is in the future.
    IssuedInFuture,

    /// `exp` is missing.
    NoExpiry,

    /// The payload does not deserialize as the type of
    /// [`JwtBuilder::claims`](crate::JwtBuilder::claims).
    Application,

    /// The token is valid except that `exp` has passed.
    Expired,

    /// The clock shows a time before 1970, so expiry cannot be checked.
    Clock,
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is too long",
            Self::Malformed => "the token is not three parts of strict base64url",
            Self::Header => "the header is not a valid JOSE header",
            Self::Extension => {
                "the header asks for an extension that is not supported (`crit`, `b64`, `zip`, \
                 `enc`, `cty`)"
            }
            Self::Kind => "`typ` is not the expected one",
            Self::Key => "no key matches `kid` and `alg`",
            Self::Signature => "the signature is invalid",
            Self::Claims => {
                "the payload is not a JSON object with unique names, or a registered claim has the \
                 wrong type"
            }
            Self::Issuer => "`iss` is missing or is not the expected issuer",
            Self::Audience => "`aud` is missing or does not contain an expected audience",
            Self::Subject => {
                "`sub` is missing, unusable, or differs from the user name sent with the token"
            }
            Self::TokenId => "`jti` is empty, too long or contains control characters",
            Self::NotYetValid => "`nbf` is in the future",
            Self::IssuedInFuture => "`iat` is in the future",
            Self::NoExpiry => "`exp` is missing",
            Self::Application => "the payload does not deserialize as the application's claims",
            Self::Expired => "the token has expired",
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

/// The error for a key, a key set or a verifier that cannot be built.
///
/// The message says which value is wrong and what to do about it. It never contains key material.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError(Cow<'static, str>);

impl ConfigError {
    pub(crate) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(message.into())
    }

    /// Prefixes the message with the place of the error.
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
