//! The credentials of the rows.
//!
//! They are constants, because the cost of verifying a signature depends a little on its bits.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// A static token with the length of those of Jupyter.
pub(crate) const TOKEN: &str = "6f1ed002ab5595859014ebf0951522d9a10b0c63f3e0a6d7";

pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const AUDIENCE: &str = "chat";

/// The secret of [`HS256`].
pub(crate) const SECRET: &[u8; 32] = b"a secret that is thirty-two long";

/// Tokens of `alice` with the scope `read` that expire in 2100, with different algorithms.
pub(crate) const HS256: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3ViIjoiYWxpY2",
    "UiLCJhdWQiOiJjaGF0IiwiZXhwIjo0MTAyNDQ0ODAwLCJpYXQiOjE3NjcyMjU2MDAsInNjb3BlIjoicmVhZCJ9._SK-",
    "mOf6l6_9QLPjAoVypAsAIFUIs2hME-FZCBBDsYk"
);
pub(crate) const ES256: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3ViIjoiYWxpY2",
    "UiLCJhdWQiOiJjaGF0IiwiZXhwIjo0MTAyNDQ0ODAwLCJpYXQiOjE3NjcyMjU2MDAsInNjb3BlIjoicmVhZCJ9.GVUV",
    "VM_7LYdEMZrT0Q_eWBALk5kLH5L-34y4IiUJbkAs76sTzIciaw-l4fT1LZlB78ntNUa-6wTSSPI4pbK4Rw"
);
pub(crate) const EDDSA: &str = concat!(
    "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3ViIjoiYWxpY2",
    "UiLCJhdWQiOiJjaGF0IiwiZXhwIjo0MTAyNDQ0ODAwLCJpYXQiOjE3NjcyMjU2MDAsInNjb3BlIjoicmVhZCJ9.KM6S",
    "T--cMahcfr2P0Z25FVxGcR-1IfnNdQjiA7Gy168ZlSAkXufmiLNQZrjEZF3c0lutihaoYGwEk_Gc6HAVBw"
);

/// Returns the public key of [`ES256`] in DER.
pub(crate) fn es256_key() -> Vec<u8> {
    der(
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8xdo74sKZZzpObuTcg/U2jLj9vvOk/VDrvb/fCaySH+oZ+xUv6+L\
         HLJhMyV+HY9c7lepGkM9Sse111AvkHxFKw==",
    )
}

/// Returns the public key of [`EDDSA`] in DER.
pub(crate) fn eddsa_key() -> Vec<u8> {
    der("MCowBQYDK2VwAyEA18Utkjo9MW8lzIaX6mcdGm/tfnfDoKul7oX2UdRZOlU=")
}

/// Returns the signed message of a JWT and its signature.
pub(crate) fn parts(token: &str) -> (Vec<u8>, Vec<u8>) {
    let (message, signature) = token.rsplit_once('.').expect("a constant above");
    let signature = URL_SAFE_NO_PAD.decode(signature);
    (message.into(), signature.expect("a constant above"))
}

/// Encodes a token for the subprotocol of the default profile.
pub(crate) fn base64url(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(token)
}

fn der(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("a constant above")
}
