use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::json::{Names, Text, once};

/// What we read of a JOSE header (RFC 7515 §4.1).
///
/// Nothing in it is believed before the signature holds. `alg` and `kid` only say which of our own
/// keys to try. Keys that the header brings or points to (`jwk`, `jku`, `x5u`, `x5c`) are skipped.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Text<'a>,
    pub(crate) key_id: Option<Text<'a>>,
    pub(crate) kind: Option<Text<'a>>,
    /// It has a `crit`, `b64`, `zip` or `enc`, or says that a token is inside the token: somebody
    /// wants it to be read in a way we do not know.
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

/// A media type without the `application/` that RFC 7515 §4.1.9 lets a token leave out.
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
    fn a_media_type_may_leave_out_application() {
        for (written, read) in [
            ("JWT", "JWT"),
            ("application/JWT", "JWT"),
            ("APPLICATION/at+jwt", "at+jwt"),
            ("application/a/b", "application/a/b"),
            ("text/jwt", "text/jwt"),
            ("applicatiön/x", "applicatiön/x"),
            ("", ""),
        ] {
            assert_eq!(media_type(written), read);
        }
    }
}
