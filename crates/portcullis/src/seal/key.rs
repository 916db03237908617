use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// A key that encrypts cookies: 32 random bytes.
///
/// Its text form is unpadded base64url, 43 characters. `Debug` does not print the key.
///
/// ```
/// use portcullis::seal::CookieKey;
///
/// let key = CookieKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")?;
/// # Ok::<_, portcullis::seal::CookieKeyError>(())
/// ```
#[derive(Clone)]
pub struct CookieKey(Zeroizing<[u8; 32]>);

impl CookieKey {
    /// Generates a random key. Cookies that it seals cannot be opened after the process has ended.
    ///
    /// # Panics
    ///
    /// Panics if the operating system provides no random bytes.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).expect("the operating system provides random bytes");
        Self(bytes)
    }

    /// Parses the text form of a key. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not 32 bytes in unpadded base64url.
    pub fn parse(text: &str) -> Result<Self, CookieKeyError> {
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(text.trim())
                .map_err(|_| CookieKeyError::Malformed)?,
        );
        let bytes = <[u8; 32]>::try_from(&**bytes).map_err(|_| CookieKeyError::Malformed)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// Reads the key from the environment variable `name`.
    ///
    /// # Errors
    ///
    /// Returns an error if the variable is not set or does not contain a key.
    pub fn from_env(name: &str) -> Result<Self, CookieKeyError> {
        let text = std::env::var(name)
            .map(Zeroizing::new)
            .map_err(|_| CookieKeyError::NotSet {
                variable: name.into(),
            })?;
        Self::parse(&text)
    }

    /// Reads the key from the file at `path`. If the file does not exist, creates it with a new
    /// key.
    ///
    /// Only the owner of the new file can read it (mode 0600). Two processes that start at the same
    /// time get the same key.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or created, does not contain a key, or can be
    /// read by other users.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, CookieKeyError> {
        let path = path.as_ref();
        match Self::create_file(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::read_file(path),
            Err(source) => Err(CookieKeyError::File {
                path: path.into(),
                source,
            }),
            Ok(key) => Ok(key),
        }
    }

    fn read_file(path: &Path) -> Result<Self, CookieKeyError> {
        let fail = |source| CookieKeyError::File {
            path: path.into(),
            source,
        };
        let mut file = File::open(path).map_err(fail)?;
        if is_readable_by_others(&file).map_err(fail)? {
            return Err(CookieKeyError::Exposed { path: path.into() });
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(fail)?;
        Self::parse(&text)
    }

    /// Writes a new key to a temporary file and links it to `path`, so that another process never
    /// reads half a key.
    fn create_file(path: &Path) -> io::Result<Self> {
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let key = Self::generate();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&temporary).and_then(|mut file| {
            let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(*key.0));
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            // Unlike a rename, a link does not replace a file that another process has created in
            // the meantime.
            std::fs::hard_link(&temporary, path)
        });
        let _ = std::fs::remove_file(&temporary);
        written.map(|()| key)
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey([redacted])")
    }
}

/// The error of a [`CookieKey`] that cannot be read, parsed or created.
#[non_exhaustive]
#[derive(Debug)]
pub enum CookieKeyError {
    /// Other users than the owner can read the file.
    Exposed {
        /// The path of the file.
        path: PathBuf,
    },

    /// The file cannot be read or created.
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The text is not 32 bytes in unpadded base64url.
    Malformed,

    /// The environment variable is not set, or is not UTF-8.
    NotSet {
        /// The name of the variable.
        variable: String,
    },
}

impl fmt::Display for CookieKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { path } => {
                let path = path.display();
                write!(
                    f,
                    "other users can read the key file {path}; run `chmod 600 {path}`"
                )
            }
            Self::File { path, .. } => {
                write!(
                    f,
                    "the key file {} cannot be read or created",
                    path.display()
                )
            }
            Self::Malformed => f.write_str(
                "a cookie key is 32 random bytes in unpadded base64url; generate one with \
                 `head -c 32 /dev/urandom | basenc --base64url | tr -d =`",
            ),
            Self::NotSet { variable } => {
                write!(
                    f,
                    "the environment variable `{variable}` is not set; set it to a cookie key"
                )
            }
        }
    }
}

impl std::error::Error for CookieKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A key ring: one key seals cookies, and all keys open them.
///
/// To rotate, put a new key first and keep the old one until the cookies that it sealed have ended:
///
/// ```
/// use portcullis::seal::{CookieKey, CookieKeys};
///
/// # let (new, old) = (CookieKey::generate(), CookieKey::generate());
/// let keys = CookieKeys::new(&new).and_previous(&old);
/// ```
///
/// Nonces are random, and AES-GCM-SIV tolerates a nonce that occurs twice. Rotate nevertheless
/// before some 2³² cookies were sealed with one key (RFC 8452 §9).
#[derive(Clone)]
pub struct CookieKeys {
    present: PreparedKey,
    previous: Vec<PreparedKey>,
}

impl CookieKeys {
    /// Creates a ring with one key, which seals and opens.
    pub fn new(key: &CookieKey) -> Self {
        Self {
            present: PreparedKey::new(key),
            previous: Vec::new(),
        }
    }

    /// Adds a key that only opens, because it sealed cookies earlier.
    #[must_use]
    pub fn and_previous(mut self, key: &CookieKey) -> Self {
        self.previous.push(PreparedKey::new(key));
        self
    }

    /// Encrypts `message`. The result is key id, nonce, ciphertext, tag.
    pub(super) fn seal(&self, message: &[u8], associated_data: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the operating system provides random bytes");
        let mut sealed = message.to_vec();
        self.present
            .cipher
            .encrypt_in_place(&Nonce::from(nonce), associated_data, &mut sealed)
            .expect("a message of some kilobytes is within AES-GCM-SIV's 2^36 bytes");
        sealed.splice(..0, [&self.present.id[..], &nonce].concat());
        sealed
    }

    /// Returns whether the id in `sealed` is that of the key that seals now.
    pub(super) fn is_sealed_by_present_key(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&self.present.id)
    }

    /// Decrypts `sealed`; `None` if no key of the ring fits, or the associated data differ.
    pub(super) fn open(&self, mut sealed: Vec<u8>, associated_data: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_first_chunk::<ID>()?;
        let (nonce, _) = rest.split_first_chunk::<NONCE>()?;
        let (id, nonce) = (*id, Nonce::from(*nonce));
        sealed.drain(..ID + NONCE);
        let mut keys = std::iter::once(&self.present).chain(&self.previous);
        let key = keys.find(|key| key.id == id)?;
        key.cipher
            .decrypt_in_place(&nonce, associated_data, &mut sealed)
            .ok()?;
        Some(sealed)
    }
}

impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKeys")
            .field("previous", &self.previous.len())
            .finish_non_exhaustive()
    }
}

const ID: usize = 4;
const NONCE: usize = 12;

/// A key with its id and the key schedule of the cipher.
#[derive(Clone)]
struct PreparedKey {
    id: [u8; ID],
    cipher: Aes256GcmSiv,
}

impl PreparedKey {
    fn new(key: &CookieKey) -> Self {
        let digest = blake3::derive_key("portcullis 2026-11 id of a cookie key", &*key.0);
        let [a, b, c, d, ..] = digest;
        Self {
            id: [a, b, c, d],
            cipher: Aes256GcmSiv::new((&*key.0).into()),
        }
    }
}

#[cfg(unix)]
fn is_readable_by_others(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_readable_by_others(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_ciphertext_does_not_open() {
        let keys = CookieKeys::new(&CookieKey::generate());
        let sealed = keys.seal(b"s3cret", b"name");
        assert_eq!(
            keys.open(sealed.clone(), b"name").as_deref(),
            Some(&b"s3cret"[..])
        );
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys.open(flipped, b"name"), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(
                keys.open(sealed[..length].to_vec(), b"name"),
                None,
                "length {length}"
            );
        }
        assert_eq!(keys.open([&sealed[..], b"x"].concat(), b"name"), None);
        assert_eq!(keys.open(sealed, b"other name"), None);
    }

    #[test]
    fn previous_key_opens_and_removed_key_does_not() {
        let (old, new) = (CookieKey::generate(), CookieKey::generate());
        let sealed = CookieKeys::new(&old).seal(b"s3cret", b"");
        let both = CookieKeys::new(&new).and_previous(&old);
        assert!(both.open(sealed.clone(), b"").is_some());
        assert!(CookieKeys::new(&new).open(sealed, b"").is_none());
        assert!(
            CookieKeys::new(&new)
                .open(both.seal(b"x", b""), b"")
                .is_some()
        );
    }

    #[test]
    fn key_is_not_printed_by_debug() {
        let key = CookieKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
        assert_eq!(format!("{key:?}"), "CookieKey([redacted])");
    }

    #[test]
    fn short_or_non_canonical_key_is_refused() {
        assert!(CookieKey::parse("AAECAwQF").is_err());
        assert!(CookieKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn key_file_is_created_once_and_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("portcullis-key-{}", std::process::id()));
        let first = CookieKey::from_file(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = CookieKey::from_file(&path).unwrap();
        assert!(first.0 == second.0);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let exposed = CookieKey::from_file(&path);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(exposed, Err(CookieKeyError::Exposed { .. })));
    }
}
