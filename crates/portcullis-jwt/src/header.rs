use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::json::{Names, Text, once};

/// The members of a JOSE header (RFC 7515 §4.1) that the verifier uses.
///
/// The header is not trusted before the signature has been verified: `alg` and `kid` only select
/// one of the verifier's own keys. Keys and key URLs in the header (`jwk`, `jku`, `x5u`, `x5c`) are
/// ignored.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Text<'a>,
    pub(crate) key_id: Option<Text<'a>>,
    pub(crate) kind: Option<Text<'a>>,
    /// Whether the header contains `crit`, `b64`, `zip` or `enc`, or announces a nested token: the
    /// payload then has a meaning that this crate does not implement.
    pub(crate) is_extended: bool,
}

impl<'de> Deserialize<'de> for Header<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut names = Names::default();
        let mut algorithm = None;
        let mut key_id = None;
        let mut kind = None;
        let mut content: Option<Text<'de>> = None;
        let mut is_extended = false;

        while let Some(name) = members.next_key::<Text<'de>>()? {
            match name.as_bytes() {
                b"alg" => once(&mut members, &mut algorithm)?,
                b"kid" => once(&mut members, &mut key_id)?,
                b"typ" => once(&mut members, &mut kind)?,
                b"cty" => once(&mut members, &mut content)?,
                other => {
                    is_extended |= matches!(other, b"b64" | b"crit" | b"enc" | b"zip");
                    names.skip(&name, &mut members)?;
                }
            }
        }
        is_extended |=
            content.is_some_and(|content| media_type(&content).eq_ignore_ascii_case("jwt"));
        let algorithm = algorithm.ok_or_else(|| serde::de::Error::missing_field("alg"))?;
        Ok(Header {
            algorithm,
            key_id,
            kind,
            is_extended,
        })
    }
}

/// Returns a media type without `application/`, which RFC 7515 §4.1.9 lets a token omit.
pub(crate) fn media_type(text: &str) -> &str {
    const PREFIX: &str = "application/";
    match text.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_type_may_omit_application() {
        for (text, expected) in [
            ("JWT", "JWT"),
            ("application/JWT", "JWT"),
            ("APPLICATION/at+jwt", "at+jwt"),
            ("application/a/b", "application/a/b"),
            ("text/jwt", "text/jwt"),
            ("applicatiön/x", "applicatiön/x"),
            ("", ""),
        ] {
            assert_eq!(media_type(text), expected);
        }
    }
}
