use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::json::{Names, Text, once};

/// The registered claims (RFC 7519 §4.1, RFC 9068 §2.2), each of the one type it may have.
///
/// A claim of another type is an error here, and so is `null`: it is never the same as absent.
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

impl Claims<'_> {
    /// What the subject may do: `scope` of RFC 9068, else the `scp` that others write.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        let lists = match (&self.scope, &self.scp) {
            (Some(list), _) => std::slice::from_ref(list),
            (None, Some(texts)) => texts.as_slice(),
            (None, None) => &[],
        };
        lists.iter().flat_map(|list| list.split_ascii_whitespace())
    }
}

impl<'de> Deserialize<'de> for Claims<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Claims<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claims set")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut names = Names::default();
        let mut claims = Claims::default();

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
        Ok(claims)
    }
}

/// A string, or an array of nothing but strings.
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

/// Seconds since 1970, whole or not (RFC 7519 §2). Never negative, and below 2^64, which is what a
/// [`Duration`] holds.
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

        // Not `deserialize_any`: with serde_json's feature `arbitrary_precision`, which any crate
        // of a build may turn on, that shows a number as a map.
        deserializer.deserialize_f64(DateVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_numbers_that_are_not_negative() {
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
