use std::net::IpAddr;

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use portcullis_core::Identity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What a ticket stands for.
///
/// It is sealed to the ticket before a store gets it. So whoever reads a store learns nobody's name,
/// and whoever writes to it makes nobody's identity.
#[derive(Deserialize, Serialize)]
#[serde(bound(deserialize = "C: DeserializeOwned", serialize = "C: Serialize"))]
pub(super) struct Record<C> {
    version: u8,
    pub(super) identity: Identity<C>,
    /// The paths for which its server mints tickets.
    pub(super) paths: Box<[Box<str>]>,
    /// The one path that it was asked for.
    pub(super) path: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bound")]
    pub(super) origin: Option<Option<Box<str>>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bound")]
    pub(super) peer: Option<Option<IpAddr>>,
}

impl<C> Record<C> {
    /// For any of `paths`, and otherwise bound to nothing.
    pub(super) fn new(identity: Identity<C>, paths: Box<[Box<str>]>) -> Self {
        Self {
            version: VERSION,
            identity,
            paths,
            path: None,
            origin: None,
            peer: None,
        }
    }
}

impl<C: Serialize> Record<C> {
    /// What the store gets. `None` if the claims cannot be written, which is a mistake of their
    /// type.
    pub(super) fn seal(&self, ticket: &str) -> Option<Vec<u8>> {
        let mut record = serde_json::to_vec(self).ok()?;
        let sealed = cipher(ticket).encrypt_in_place(&Nonce::default(), b"", &mut record);
        sealed.ok().map(|()| record)
    }
}

impl<C: DeserializeOwned> Record<C> {
    /// `None` if it is not the record of this ticket, or that of another version.
    pub(super) fn open(mut sealed: Vec<u8>, ticket: &str) -> Option<Self> {
        let opened = cipher(ticket).decrypt_in_place(&Nonce::default(), b"", &mut sealed);
        opened.ok()?;
        let record: Self = serde_json::from_slice(&sealed).ok()?;
        (record.version == VERSION).then_some(record)
    }
}

/// Under a key that seals one record and no other, so that one nonce is as good as another.
fn cipher(ticket: &str) -> Aes256GcmSiv {
    let key = blake3::derive_key("portcullis 2026-11 record of a ticket", ticket.as_bytes());
    let key = Zeroizing::new(key);
    Aes256GcmSiv::new((&*key).into())
}

/// A machine that runs an older version redeems no ticket that it cannot read.
const VERSION: u8 = 1;

/// Bound to nothing is not the same as not bound.
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
