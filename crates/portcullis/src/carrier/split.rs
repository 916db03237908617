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

/// Whether `text` is `word`, in whatever case. The word has small letters and nothing else.
///
/// `eq_ignore_ascii_case` looks whether each byte of either is a letter, which is known here.
pub(crate) fn is_word<const N: usize>(text: &[u8], word: &[u8; N]) -> bool {
    let differing = |text: &[u8; N]| {
        let pairs = text.iter().zip(word);
        pairs.fold(0, |all, (byte, letter)| all | ((byte | 0x20) ^ letter))
    };
    <&[u8; N]>::try_from(text).is_ok_and(|text| differing(text) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_word_in_any_case_and_nothing_else() {
        for byte in 0..=u8::MAX {
            let text = [b'u', byte, b'G'];
            let is_same = text.eq_ignore_ascii_case(b"upg");
            assert_eq!(is_word(&text, b"upg"), is_same, "{byte}");
        }
        assert!(!is_word(b"upgr", b"upg"));
        assert!(!is_word(b"up", b"upg"));
    }

    #[test]
    fn splits_as_the_standard_library_does() {
        for text in ["", ",", "a", "a,", ",a", "a,,b", " a , b "] {
            let theirs = text.as_bytes().split(|byte| *byte == b',');
            assert!(split(text.as_bytes(), b',').eq(theirs), "{text:?}");
        }
    }
}
