//! Parts, symbols and length of a token, whatever is in it.

use portcullis_jwt::{Algorithm, JwtError, MAX_TOKEN_LENGTH};

use super::{GOOD, HEADER, hs256, outcome, with_claims};
use crate::support::{claims, good_claims, sign, token};

#[test]
fn of_parts() {
    let jwt = hs256();
    let good = with_claims(good_claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    assert_eq!(outcome(&jwt, &good), GOOD);

    // A token with symbols that the standard alphabet spells differently, in both its parts.
    let in_both = |token: &String| {
        token
            .split('.')
            .skip(1)
            .all(|part| part.contains(['-', '_']))
    };
    let odd = |n: u32| with_claims(claims(&[("x", "\"???~~~\""), ("n", &n.to_string())]));
    let odd = (0..).map(odd).find(in_both).unwrap();
    assert_eq!(outcome(&jwt, &odd), GOOD);
    let (odd_message, odd_signature) = odd.rsplit_once('.').unwrap();
    let standard = |part: &str| part.replace('-', "+").replace('_', "/");

    let rows = [
        (String::new(), JwtError::Malformed),
        (header.to_owned(), JwtError::Malformed),
        (format!("{header}.{payload}"), JwtError::Malformed),
        (format!("{good}."), JwtError::Signature),
        (format!(".{good}"), JwtError::Header),
        (format!("{good}.{signature}"), JwtError::Signature),
        (
            format!("{header}.{payload}.{payload}.{payload}.{signature}"),
            JwtError::Signature,
        ),
        ("..".to_owned(), JwtError::Header),
        (format!("{header}.."), JwtError::Signature),
        (format!("{header}..{signature}"), JwtError::Signature), // detached, RFC 7515 appendix F
        (format!("{header}.{payload}."), JwtError::Signature),
        (
            format!("{header}={}", &good[header.len()..]),
            JwtError::Malformed,
        ),
        (format!("{good}="), JwtError::Malformed),
        (format!(" {good}"), JwtError::Malformed),
        (format!("{good} "), JwtError::Malformed),
        (format!("{good}\n"), JwtError::Malformed),
        (
            format!("{header}. {payload}.{signature}"),
            JwtError::Signature,
        ),
        (good.replacen('.', ".\n", 1), JwtError::Signature),
        (
            format!("{}.{odd_signature}", standard(odd_message)),
            JwtError::Signature,
        ),
        (
            format!("{odd_message}.{}", standard(odd_signature)),
            JwtError::Malformed,
        ),
        (format!("Bearer {good}"), JwtError::Malformed),
        (format!("\"{good}\""), JwtError::Malformed),
        (
            format!(
                r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#
            ),
            JwtError::Malformed,
        ),
        (
            format!(
                r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
            ),
            JwtError::Malformed,
        ),
        (".".repeat(1_000_000), JwtError::TooLong),
        ("é.é.é".to_owned(), JwtError::Malformed),
    ];
    for (token, expected) in rows {
        let shown: String = token.chars().take(120).collect();
        assert_eq!(outcome(&jwt, &token), Err(expected), "{shown}");
    }
}

/// The unused bits of a last symbol are zero, so a token has one spelling.
#[test]
fn of_last_symbols() {
    let jwt = hs256();
    let good = with_claims(good_claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    // 32 bytes leave two bits of the last symbol unused.
    let spellings = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars();
    let accepted = spellings.filter(|last| {
        let token = format!("{signed}.{}{last}", &signature[..signature.len() - 1]);
        jwt.check(&token).is_ok()
    });
    assert_eq!(accepted.count(), 1);
}

#[test]
fn of_payloads() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    let rows: [&[u8]; 14] = [
        b"",
        b"[]",
        b"[{}]",
        b"\"\"",
        b"null",
        b"1",
        b"{",
        b"{}{}",
        b"{\"iss\":1,}",
        b"\xef\xbb\xbf{}",
        b"{\"x\":NaN}",
        b"{\"x\":\"\\ud800\"}",
        b"{\"x\":\"\n\"}",
        deep.as_bytes(),
    ];
    let jwt = hs256();
    for payload in rows {
        assert_eq!(
            outcome(&jwt, &with_claims(payload)),
            Err(JwtError::Claims),
            "{payload:?}"
        );
    }
    assert_eq!(
        outcome(&jwt, &with_claims(b"{\"x\":\"\xff\"}")),
        Err(JwtError::Malformed)
    );
    assert_eq!(outcome(&jwt, &with_claims("{}")), Err(JwtError::Issuer));
}

#[test]
fn length_is_bounded_to_the_byte() {
    let jwt = hs256();
    let of_length = |length: usize| {
        let mut filling = length / 2;
        loop {
            // The payload grows by four symbols for three bytes; the header takes up the rest.
            for pad in 0..4 {
                let x = format!("\"{}\"", "x".repeat(filling));
                let header = format!("{}{HEADER}", " ".repeat(pad));
                let token = token(header, claims(&[("x", &x)]), sign(Algorithm::HS256));
                if token.len() == length {
                    return token;
                }
            }
            filling += 1;
        }
    };
    assert_eq!(outcome(&jwt, &of_length(MAX_TOKEN_LENGTH - 1)), GOOD);
    assert_eq!(outcome(&jwt, &of_length(MAX_TOKEN_LENGTH)), GOOD);
    assert_eq!(
        outcome(&jwt, &of_length(MAX_TOKEN_LENGTH + 1)),
        Err(JwtError::TooLong)
    );
}
