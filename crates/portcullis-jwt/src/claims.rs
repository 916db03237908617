use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::json::{Names, Text, once};

/// The registered claims (RFC 7519 §4.1, RFC 9068 §2.2) with their types.
///
/// A claim of another type is an error, and so is `null`, which never counts as missing.
#[derive(Debug, Default)]
pub(crate) struct Claims<'a> {
    pub(crate) issuer: Option<Text<'a>>,
    pub(crate) subject: Option<Text<'a>>,
    pub(crate) audience: Option<Texts<'a>>,
    pub(crate) expires: Option<NumericDate>,
    pub(crate) not_before: Option<NumericDate>,
    pub(crate) issued: Option<NumericDate>,
    pub(crate) token_id: Option<Text<'a>>,
    pub(crate) scope: Option<Text<'a>>,
    pub(crate) scp: Option<Texts<'a>>,
}

impl<'a> Claims<'a> {
    pub(crate) fn parse(payload: &'a str) -> serde_json::Result<Self> {
        let mut claims = Self::default();
        let mut deserializer = serde_json::Deserializer::from_str(payload);
        deserializer.deserialize_map(ClaimsVisitor(&mut claims))?;
        deserializer.end()?;
        Ok(claims)
    }

    /// Returns the scopes: those of `scope` (RFC 9068 §2.2.3), else those of `scp`, which other
    /// identity providers use.
    pub(crate) fn scopes(&self) -> Vec<Box<str>> {
        let lists = match (&self.scope, &self.scp) {
            (Some(list), _) => std::slice::from_ref(list),
            (None, Some(texts)) => texts.as_slice(),
            (None, None) => &[],
        };
        // The exact capacity saves the identity a reallocation.
        let counts = lists
            .iter()
            .map(|list| list.split_ascii_whitespace().count());
        let mut scopes = Vec::with_capacity(counts.sum());
        for list in lists {
            scopes.extend(list.split_ascii_whitespace().map(Box::from));
        }
        scopes
    }
}

/// Fills claims in place, which saves several moves of a large struct.
struct ClaimsVisitor<'c, 'de>(&'c mut Claims<'de>);

impl<'de> Visitor<'de> for ClaimsVisitor<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claims set")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = Names::default();
        let Self(claims) = self;

        while let Some(name) = members.next_key::<Text<'de>>()? {
            match name.as_bytes() {
                b"iss" => once(&mut members, &mut claims.issuer)?,
                b"sub" => once(&mut members, &mut claims.subject)?,
                b"aud" => once(&mut members, &mut claims.audience)?,
                b"exp" => once(&mut members, &mut claims.expires)?,
                b"nbf" => once(&mut members, &mut claims.not_before)?,
                b"iat" => once(&mut members, &mut claims.issued)?,
                b"jti" => once(&mut members, &mut claims.token_id)?,
                b"scope" => once(&mut members, &mut claims.scope)?,
                b"scp" => once(&mut members, &mut claims.scp)?,
                _ => names.skip(&name, &mut members)?,
            }
        }
        Ok(())
    }
}

/// A string or an array of strings.
#[derive(Debug)]
pub(crate) enum Texts<'a> {
    One(Text<'a>),
    Several(Vec<Text<'a>>),
}

impl<'a> Texts<'a> {
    pub(crate) fn as_slice(&self) -> &[Text<'a>] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        }
    }
}

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Texts::One(Text(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Texts::One(Text(Cow::Owned(text.to_owned()))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(Texts::Several(texts))
            }
        }

        deserializer.deserialize_any(TextsVisitor)
    }
}

/// Seconds since 1970, possibly with a fraction (RFC 7519 §2). The range is that of [`Duration`]: not
/// negative, and less than 2^64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumericDate(pub(crate) Duration);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;

        impl Visitor<'_> for DateVisitor {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }

            fn visit_u64<E>(self, seconds: u64) -> Result<NumericDate, E> {
                Ok(NumericDate(Duration::from_secs(seconds)))
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<NumericDate, E> {
                match u64::try_from(seconds) {
                    Ok(seconds) => self.visit_u64(seconds),
                    Err(_) => Err(E::custom("a date before 1970")),
                }
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<NumericDate, E> {
                let since = Duration::try_from_secs_f64(seconds);
                since.map(NumericDate).map_err(E::custom)
            }
        }

        // Not `deserialize_any`, which represents a number as a map if any crate in the build
        // enables serde_json's feature `arbitrary_precision`.
        deserializer.deserialize_f64(DateVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_date_is_a_number_that_is_not_negative() {
        let read = |json| serde_json::from_str::<NumericDate>(json).map(|date| date.0);
        for (json, seconds) in [
            ("0", 0.0),
            ("-0.0", 0.0),
            ("1300819380", 1_300_819_380.0),
            ("1300819380.5", 1_300_819_380.5),
            ("1.3e9", 1.3e9),
        ] {
            assert_eq!(
                read(json).ok(),
                Some(Duration::from_secs_f64(seconds)),
                "{json}"
            );
        }
        assert_eq!(
            read("18446744073709551615").ok(),
            Some(Duration::from_secs(u64::MAX))
        );
        for json in [
            "-1",
            "-0.5",
            "-1e300",
            "18446744073709551616",
            "1e300",
            "1e400",
            "null",
            "\"1\"",
            "[1]",
            "{}",
            "true",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
