/// What stands between the delimiters, as it stands there.
///
/// `slice::split` looks at one byte at a time, and this runs over every line that a client sends.
pub(super) fn split(bytes: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let (segment, behind) = match memchr::memchr(delimiter, bytes) {
            Some(end) => (&bytes[..end], Some(&bytes[end + 1..])),
            None => (bytes, None),
        };
        rest = behind;
        Some(segment)
    })
}

/// Without the optional white space of RFC 9110 §5.6.3: spaces and tabs, nothing else.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_the_standard_library_does() {
        for text in ["", ",", "a", "a,", ",a", "a,,b", " a , b "] {
            let theirs = text.as_bytes().split(|byte| *byte == b',');
            assert!(split(text.as_bytes(), b',').eq(theirs), "{text:?}");
        }
    }
}
