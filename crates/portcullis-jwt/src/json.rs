//! JSON with unique names (RFC 7519 §4, RFC 8725 §2.6) and borrowed strings, on top of serde.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A string, copied only if it contains an escape.
#[derive(Debug)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// Reads the value of a known name into `place`. It is an error if `place` already has a value.
pub(crate) fn once<'de, A, T>(members: &mut A, place: &mut Option<T>) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
    T: Deserialize<'de>,
{
    if place.is_some() {
        return Err(A::Error::custom(TWICE));
    }
    *place = Some(members.next_value()?);
    Ok(())
}

const TWICE: &str = "a name occurs twice in an object";

/// The unknown names of an object that were read so far.
///
/// It stores hashes instead of strings. Two names with the same hash count as a duplicate, which can
/// only refuse a token, never accept one.
#[derive(Debug, Default)]
pub(crate) struct Names {
    first: [u64; 16],
    more: Vec<u64>,
    count: usize,
}

impl Names {
    /// Skips a member that is not needed, but checks the names in it.
    pub(crate) fn skip<'de, A>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        self.insert(name)?;
        members.next_value::<Unique>()?;
        Ok(())
    }

    fn insert<E: Error>(&mut self, name: &str) -> Result<(), E> {
        let hash = fnv1a(name);
        let filled = self.count.min(self.first.len());
        if self.first[..filled].contains(&hash) || self.more.contains(&hash) {
            return Err(E::custom(TWICE));
        }
        match self.first.get_mut(self.count) {
            Some(place) => *place = hash,
            None => self.more.push(hash),
        }
        self.count += 1;
        Ok(())
    }
}

fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Any JSON value with unique names in every object, at every depth. The value itself is dropped.
#[derive(Debug)]
pub(crate) struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut names = Names::default();
        while let Some(name) = members.next_key::<Text<'de>>()? {
            names.skip(&name, &mut members)?;
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_unique(json: &str) -> bool {
        serde_json::from_str::<Unique>(json).is_ok()
    }

    #[test]
    fn duplicate_names_are_refused_at_every_depth() {
        assert!(is_unique(
            r#"{"a":1,"b":[{"a":-1},{"a":1.5}],"c":{"a":null,"b":true}}"#
        ));
        assert!(!is_unique(r#"{"a":1,"a":1}"#));
        assert!(!is_unique(r#"{"a":1,"\u0061":2}"#));
        assert!(!is_unique(r#"[{"b":{"c":"x","d":2,"c":3}}]"#));
    }

    #[test]
    fn duplicates_are_found_beyond_the_inline_names() {
        let members: Vec<String> = (0..40).map(|n| format!("\"n{n}\":0")).collect();
        let all = members.join(",");
        assert!(is_unique(&format!("{{{all}}}")));
        for repeated in &members {
            assert!(!is_unique(&format!("{{{all},{repeated}}}")));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_unique(&deep(100)));
        assert!(!is_unique(&deep(200)));
    }
}
