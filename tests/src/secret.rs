use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Creates a random secret. If a server prints it, the server got it from the test.
///
/// Some of its characters change under percent-encoding. None of them breaks a client that does not
/// encode.
pub fn new_secret() -> String {
    let mut random = [0; 12];
    getrandom::fill(&mut random).expect("the operating system has random numbers");
    let hex = random.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("canary-{hex}.~_")
}

/// Returns the forms of `secrets` that occur in `text`: plain, percent-encoded, in base64, or as the
/// list of numbers in the `Debug` output of bytes.
///
/// Base64 is found at each offset in a group of three bytes, so also after any user name of Basic.
pub fn leaks(text: &str, secrets: &[String]) -> Vec<String> {
    secrets
        .iter()
        .flat_map(|secret| forms(secret))
        .filter(|form| text.contains(form))
        .collect()
}

fn forms(secret: &str) -> Vec<String> {
    let numbers: Vec<_> = secret.bytes().map(|byte| byte.to_string()).collect();
    let mut forms = vec![
        secret.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        numbers.join(", "),
    ];
    for before in ["", "a", "aa"] {
        // Only whole groups of three bytes are encoded independently of the bytes around them.
        let skipped = (3 - before.len()) % 3;
        let whole = &secret.as_bytes()[skipped..];
        let whole = &whole[..whole.len() / 3 * 3];
        forms.push(STANDARD_NO_PAD.encode(whole));
        forms.push(URL_SAFE_NO_PAD.encode(whole));
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found() {
        let secret = new_secret();
        let secrets = [secret.clone()];
        for text in [
            format!("GET /?token={secret} HTTP/1.1"),
            format!("{:?}", secret.as_bytes()),
            format!(
                "Basic {}",
                STANDARD_NO_PAD.encode(format!("alice:{secret}"))
            ),
            format!("Basic {}", STANDARD_NO_PAD.encode(format!("al:{secret}"))),
            format!("Basic {}", STANDARD_NO_PAD.encode(format!("bob:{secret}"))),
            format!("phx.{}", URL_SAFE_NO_PAD.encode(&secret)),
            utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string(),
        ] {
            assert!(!leaks(&text, &secrets).is_empty(), "{text}");
        }
        assert!(leaks(&format!("token={}", new_secret()), &secrets).is_empty());
    }
}
