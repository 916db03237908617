use std::net::IpAddr;

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use portcullis_core::{ClaimsCodec, ClaimsError, Identity};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What a ticket stands for.
///
/// It is encrypted under a key that only the ticket gives before a store gets it. So a store can
/// neither read an identity nor make one.
#[derive(Deserialize, Serialize)]
pub(super) struct Record {
    version: u8,
    /// The identity, as [`ClaimsCodec`] writes it.
    identity: Box<str>,
    /// The paths that its server mints tickets for.
    pub(super) paths: Box<[Box<str>]>,
    /// The one path that it was minted for.
    pub(super) path: Option<Box<str>>,
    /// `Some(None)`: the ticket was minted by a request without an `Origin`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bound")]
    pub(super) origin: Option<Option<Box<str>>>,
    /// `Some(None)`: the ticket was minted by a request from an unknown address.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bound")]
    pub(super) peer: Option<Option<IpAddr>>,
}

impl Record {
    /// Creates a record for any of `paths`, bound to nothing else.
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

    /// Encrypts the record for the store.
    pub(super) fn seal(&self, ticket: &str) -> Vec<u8> {
        let mut record = serde_json::to_vec(self).expect("strings and numbers are valid JSON");
        cipher(ticket)
            .encrypt_in_place(&Nonce::default(), b"", &mut record)
            .expect("a record is shorter than the limit of the cipher, 64 GiB");
        record
    }

    /// Decrypts a record; `None` if it is not the record of this ticket, or has another version.
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

/// A machine with another version of the library redeems no ticket that it cannot read.
const VERSION: u8 = 2;

/// Serializes `Some(None)` as `null`, and leaves out `None`.
mod bound {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "serde hands over the field")]
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
