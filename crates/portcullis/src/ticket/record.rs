use std::net::IpAddr;

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use portcullis_core::{ClaimsCodec, ClaimsError, Identity};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The stored part of a ticket.
///
/// It is encrypted with a key that is derived from the ticket, which the store does not have. So a
/// store can neither read nor forge an identity.
#[derive(Deserialize, Serialize)]
pub(super) struct Record {
    version: u8,
    /// The identity, as [`ClaimsCodec`] writes it.
    identity: Box<str>,
    /// The paths that the server mints tickets for.
    pub(super) paths: Box<[Box<str>]>,
    /// The only path that the ticket is for, if there is one.
    pub(super) path: Option<Box<str>>,
    /// `Some(None)` if the request that minted the ticket had no `Origin`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bound")]
    pub(super) origin: Option<Option<Box<str>>>,
    /// `Some(None)` if the address of that request was unknown.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bound")]
    pub(super) peer: Option<Option<IpAddr>>,
}

impl Record {
    /// Creates a record that is valid for all of `paths`.
    pub(super) fn new(
        identity: &Identity,
        claims: ClaimsCodec,
        paths: Box<[Box<str>]>,
    ) -> Result<Self, ClaimsError> {
        Ok(Self {
            version: VERSION,
            identity: claims.encode(identity)?.into(),
            paths,
            path: None,
            origin: None,
            peer: None,
        })
    }

    pub(super) fn identity(&self, claims: ClaimsCodec) -> Result<Identity, ClaimsError> {
        claims.decode(&self.identity)
    }

    /// Encrypts the record with the key of its ticket.
    pub(super) fn seal(&self, ticket: &str) -> Vec<u8> {
        let mut record = serde_json::to_vec(self).expect("strings and numbers are valid JSON");
        cipher(ticket)
            .encrypt_in_place(&Nonce::default(), b"", &mut record)
            .expect("a record is shorter than the limit of the cipher, 64 GiB");
        record
    }

    /// Decrypts a record; `None` if it belongs to another ticket, or has another version.
    pub(super) fn open(mut sealed: Vec<u8>, ticket: &str) -> Option<Self> {
        let opened = cipher(ticket).decrypt_in_place(&Nonce::default(), b"", &mut sealed);
        opened.ok()?;
        let record: Self = serde_json::from_slice(&sealed).ok()?;
        (record.version == VERSION).then_some(record)
    }
}

/// Returns the cipher for the record of `ticket`.
///
/// Each key seals one record, so the nonce can be constant.
fn cipher(ticket: &str) -> Aes256GcmSiv {
    let key = blake3::derive_key("portcullis 2026-11 record of a ticket", ticket.as_bytes());
    let key = Zeroizing::new(key);
    Aes256GcmSiv::new((&*key).into())
}

/// The version of the format. A ticket of another version is refused.
const VERSION: u8 = 2;

/// Serializes `Some(None)` as `null`, and omits `None`.
mod bound {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "serde passes the field")]
    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .as_ref()
            .and_then(Option::as_ref)
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}
