//! Parts, symbols and length of tokens.

use portcullis_jwt::{Algorithm, JwtError, MAX_TOKEN_LENGTH};

use super::{ACCEPTED, HEADER, hs256, outcome, with_claims};
use crate::support::{claims, sign, token, valid_claims};

#[test]
fn malformed_tokens_are_refused() {
    let jwt = hs256();
    let good = with_claims(valid_claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    assert_eq!(outcome(&jwt, &good), ACCEPTED);

    // A token with symbols that differ in the standard alphabet, in its payload and signature.
    let in_both = |token: &String| {
        token
            .split('.')
            .skip(1)
            .all(|part| part.contains(['-', '_']))
    };
    let odd = |n: u32| with_claims(claims(&[("x", "\"???~~~\""), ("n", &n.to_string())]));
    let odd = (0..).map(odd).find(in_both).unwrap();
    assert_eq!(outcome(&jwt, &odd), ACCEPTED);
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

/// The unused bits of the last symbol have to be zero.
#[test]
fn token_has_one_spelling() {
    let jwt = hs256();
    let good = with_claims(valid_claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    // With 32 bytes, two bits of the last symbol are unused.
    let spellings = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars();
    let accepted = spellings.filter(|last| {
        let token = format!("{signed}.{}{last}", &signature[..signature.len() - 1]);
        jwt.check(&token).is_ok()
    });
    assert_eq!(accepted.count(), 1);
}

#[test]
fn payloads_that_are_no_json_object_are_refused() {
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
fn too_long_tokens_are_refused() {
    let jwt = hs256();
    let of_length = |length: usize| {
        let mut filling = length / 2;
        loop {
            // The payload grows in steps of four symbols, so the header is padded, too.
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
    assert_eq!(outcome(&jwt, &of_length(MAX_TOKEN_LENGTH - 1)), ACCEPTED);
    assert_eq!(outcome(&jwt, &of_length(MAX_TOKEN_LENGTH)), ACCEPTED);
    assert_eq!(
        outcome(&jwt, &of_length(MAX_TOKEN_LENGTH + 1)),
        Err(JwtError::TooLong)
    );
}
