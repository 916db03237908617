//! Keys that look right and are worth nothing. They are found when a verifier is built, since
//! nobody looks at them afterwards.

use crate::ConfigError;

/// RFC 7518 §3.2: a secret is at least as long as the hash.
pub(crate) fn check_secret(secret: &[u8], hash_length: usize) -> Result<(), ConfigError> {
    if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err(ConfigError::new(
            "the secret is a PEM block, and a public key is no secret: use `Key::from_pem`",
        ));
    }
    if secret.len() < hash_length {
        return Err(ConfigError::new(format!(
            "the secret has {} bytes, and this algorithm needs {hash_length} bytes or more \
             (RFC 7518 §3.2): draw one with `openssl rand {hash_length}`",
            secret.len(),
        )));
    }
    Ok(())
}

/// RFC 7518 §3.3 and §3.5: 2048 bits or more. 8192 at most, which bounds the work for a token.
pub(crate) fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), ConfigError> {
    let bits = match modulus {
        [first @ 1..=255, rest @ ..] => rest.len() * 8 + (8 - first.leading_zeros() as usize),
        _ => {
            return Err(ConfigError::new(
                "an RSA modulus is a number without leading zeros",
            ));
        }
    };
    if !(2048..=8192).contains(&bits) {
        return Err(ConfigError::new(format!(
            "the RSA key has {bits} bits: make one of 2048 to 8192 bits"
        )));
    }
    let is_sound = match exponent {
        [low] => low % 2 == 1 && *low >= 3,
        [1..=255, .., low] => exponent.len() <= 4 && low % 2 == 1,
        _ => false,
    };
    if !is_sound || modulus.last().is_some_and(|low| low % 2 == 0) {
        return Err(ConfigError::new(
            "no sound RSA key: an even modulus, or an exponent that is even, 1, or over 32 bits",
        ));
    }
    if is_roca(modulus) {
        return Err(ConfigError::new(
            "the RSA key was made by a broken generator (ROCA, CVE-2017-15361): make a new one",
        ));
    }
    Ok(())
}

/// A key of small order lets everybody sign (RFC 8725 §3.4 asks to validate such inputs).
pub(crate) fn check_ed25519(point: &[u8; 32]) -> Result<(), ConfigError> {
    /// The y of all eight points, as numbers below the prime; then 0 and 1 with the prime added,
    /// which are read as the same.
    const SMALL: [[u8; 32]; 7] = [
        with_ends(0, 0, 0),
        with_ends(1, 0, 0),
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
        with_ends(0xec, 0xff, 0x7f),
        with_ends(0xed, 0xff, 0x7f),
        with_ends(0xee, 0xff, 0x7f),
    ];
    let mut y = *point;
    y[31] &= 0x7f; // the sign of x
    if SMALL.contains(&y) {
        return Err(ConfigError::new(
            "the Ed25519 key is a point of small order, for which anybody can sign",
        ));
    }
    Ok(())
}

const fn with_ends(low: u8, middle: u8, high: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = low;
    bytes[31] = high;
    bytes
}

/// Whether the modulus has the mark that a flawed generator of smart cards left: its remainder is
/// a power of 65537 for each of these primes. A good key looks so once in some 2^27 times.
fn is_roca(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|&prime| {
        let remainder = modulus.iter().fold(0, |remainder, &byte| {
            (remainder * 256 + u32::from(byte)) % prime
        });
        let powers = std::iter::successors(Some(1), |power| Some(power * 65_537 % prime));
        powers.take(prime as usize).any(|power| power == remainder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const F4: &[u8] = &[1, 0, 1];

    /// 65537 to the power of 128: a number of 2049 bits with the mark in every remainder.
    fn marked() -> Vec<u8> {
        let mut number = vec![1_u8]; // the lowest byte first
        for _ in 0..128 {
            let mut product = vec![0; number.len() + 2];
            let mut carry = 0_u16;
            for (place, byte) in product.iter_mut().enumerate() {
                let at = |index: usize| number.get(index).copied().map_or(0, u16::from);
                let shifted = place.checked_sub(2).map_or(0, at);
                let sum = at(place) + shifted + carry;
                *byte = sum.to_le_bytes()[0];
                carry = sum >> 8;
            }
            number = product;
            while number.last() == Some(&0) {
                number.pop();
            }
        }
        number.reverse();
        number
    }

    #[test]
    fn a_marked_modulus_is_found() {
        let modulus = marked();
        assert!(
            check_rsa(&modulus, F4)
                .unwrap_err()
                .to_string()
                .contains("ROCA")
        );
        let mut good = modulus;
        *good.last_mut().unwrap() ^= 2;
        assert_eq!(check_rsa(&good, F4), Ok(()));
    }

    #[test]
    fn the_bits_of_an_rsa_key_are_counted() {
        let of = |bytes: usize, first: u8| {
            let mut modulus = vec![0xff; bytes];
            modulus[0] = first;
            check_rsa(&modulus, F4)
        };
        assert_eq!(of(256, 0x80), Ok(()));
        assert!(of(256, 0x7f).unwrap_err().to_string().contains("2047 bits"));
        assert!(of(256, 0x00).is_err());
        assert!(of(128, 0x80).unwrap_err().to_string().contains("1024 bits"));
        assert_eq!(of(1024, 0xff), Ok(()));
        assert!(
            of(1025, 0x01)
                .unwrap_err()
                .to_string()
                .contains("8193 bits")
        );
        assert!(check_rsa(&[], F4).is_err());
    }

    #[test]
    fn exponents_are_odd_and_small_and_not_one() {
        let modulus = [0xff; 256];
        for sound in [&[3][..], &[17], F4, &[0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(check_rsa(&modulus, sound), Ok(()), "{sound:?}");
        }
        for bad in [
            &[][..],
            &[0],
            &[1],
            &[2],
            &[1, 0, 0],
            &[0, 3],
            &[1, 0, 0, 0, 1],
        ] {
            assert!(check_rsa(&modulus, bad).is_err(), "{bad:?}");
        }
        let even = [0xfe; 256];
        assert!(check_rsa(&even, F4).is_err());
    }

    #[test]
    fn points_of_small_order_are_refused_with_either_sign() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(check_ed25519(&identity).is_err());
        identity[31] = 0x80;
        assert!(check_ed25519(&identity).is_err());
        identity[0] = 9;
        assert_eq!(check_ed25519(&identity), Ok(()));
    }
}
