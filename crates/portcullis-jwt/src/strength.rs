//! Checks for weak keys, made once when a key is created.

use crate::ConfigError;

/// Requires a secret of at least the length of the hash (RFC 7518 §3.2).
pub(crate) fn check_secret(secret: &[u8], hash_length: usize) -> Result<(), ConfigError> {
    if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err(ConfigError::new(
            "the secret is a PEM block, and a public key is not a secret: use `Key::from_pem`",
        ));
    }
    if secret.len() < hash_length {
        return Err(ConfigError::new(format!(
            "the secret has {} bytes, and this algorithm needs {hash_length} bytes or more \
             (RFC 7518 §3.2): generate one with `openssl rand {hash_length}`",
            secret.len(),
        )));
    }
    Ok(())
}

/// Requires 2048 bits or more (RFC 7518 §3.3 and §3.5) and at most 8192, which bounds the work for
/// each token.
pub(crate) fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), ConfigError> {
    let bits = match modulus {
        [first @ 1..=255, rest @ ..] => rest.len() * 8 + (8 - first.leading_zeros() as usize),
        _ => {
            return Err(ConfigError::new(
                "the RSA modulus is empty or has leading zeros",
            ));
        }
    };
    if !(2048..=8192).contains(&bits) {
        return Err(ConfigError::new(format!(
            "the RSA key has {bits} bits: generate one of 2048 to 8192 bits"
        )));
    }
    let is_sound = match exponent {
        [low] => low % 2 == 1 && *low >= 3,
        [1..=255, .., low] => exponent.len() <= 4 && low % 2 == 1,
        _ => false,
    };
    if !is_sound || modulus.last().is_some_and(|low| low % 2 == 0) {
        return Err(ConfigError::new(
            "the RSA key is unsound: its modulus is even, or its exponent is even, 1, or longer \
             than 32 bits",
        ));
    }
    if is_roca(modulus) {
        return Err(ConfigError::new(
            "the RSA key comes from a flawed generator (ROCA, CVE-2017-15361): generate a new one",
        ));
    }
    Ok(())
}

/// Refuses points of small order, for which anyone can forge signatures (RFC 8725 §3.4).
pub(crate) fn check_ed25519(point: &[u8; 32]) -> Result<(), ConfigError> {
    /// The y coordinates of all eight points; then 0 and 1 with the prime added, which decode to
    /// the same points.
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
            "the Ed25519 key is a point of small order, for which signatures can be forged",
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

/// Returns whether the modulus has the fingerprint of the ROCA generator: its remainder modulo each
/// of these primes is a power of 65537. About one in 2^27 sound keys has it, too.
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

    /// Returns 65537 to the power of 128: a number of 2049 bits with the fingerprint.
    fn roca_modulus() -> Vec<u8> {
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
    fn roca_modulus_is_refused() {
        let modulus = roca_modulus();
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
    fn rsa_key_length_is_counted_in_bits() {
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
    fn even_large_or_trivial_rsa_exponents_are_refused() {
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
    fn ed25519_points_of_small_order_are_refused_with_either_sign() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(check_ed25519(&identity).is_err());
        identity[31] = 0x80;
        assert!(check_ed25519(&identity).is_err());
        identity[0] = 9;
        assert_eq!(check_ed25519(&identity), Ok(()));
    }
}
