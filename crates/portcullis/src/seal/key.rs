use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// A key that seals cookies: 32 random bytes.
///
/// Its text form is unpadded base64url, 43 characters. `Debug` prints none of it.
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
    /// A new key. Cookies that it seals are worth nothing once the process has ended.
    ///
    /// # Panics
    ///
    /// If the operating system has no randomness to give. No key is better than a guessable one.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).expect("the operating system gives randomness");
        Self(bytes)
    }

    /// A key from its text form.
    ///
    /// # Errors
    ///
    /// If the text, without the white space around it, is not 32 bytes in unpadded base64url.
    pub fn parse(text: &str) -> Result<Self, CookieKeyError> {
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(text.trim())
                .map_err(|_| CookieKeyError::Malformed)?,
        );
        let bytes = <[u8; 32]>::try_from(&**bytes).map_err(|_| CookieKeyError::Malformed)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The key in the environment variable `name`.
    ///
    /// # Errors
    ///
    /// If the variable is not set, or is not a key.
    pub fn from_env(name: &str) -> Result<Self, CookieKeyError> {
        let text = std::env::var(name)
            .map(Zeroizing::new)
            .map_err(|_| CookieKeyError::NotSet {
                variable: name.into(),
            })?;
        Self::parse(&text)
    }

    /// The key in the file at `path`, which is created with a new key if it does not exist.
    ///
    /// The file is created so that only its owner can read it (mode 0600). Two processes that
    /// start at once end up with the same key.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or created, is not a key, or can be read by others.
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

    /// Writes a new key beside `path` and links it there, so that nobody ever reads half a key.
    fn create_file(path: &Path) -> io::Result<Self> {
        if path.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let key = Self::generate();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&beside).and_then(|mut file| {
            let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(*key.0));
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            // Unlike a rename, a link does not replace what somebody else has put there meanwhile.
            std::fs::hard_link(&beside, path)
        });
        let _ = std::fs::remove_file(&beside);
        written.map(|()| key)
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey([redacted])")
    }
}

/// Why there is no key.
#[non_exhaustive]
#[derive(Debug)]
pub enum CookieKeyError {
    /// The file can be read by others than its owner.
    Exposed {
        /// The file.
        path: PathBuf,
    },

    /// The file cannot be read or created.
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },

    /// The text is not 32 bytes in unpadded base64url.
    Malformed,

    /// The environment variable is not set.
    NotSet {
        /// Its name.
        variable: String,
    },
}

impl fmt::Display for CookieKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { path } => {
                write!(
                    f,
                    "others can read the key file; run `chmod 600 {}`",
                    path.display()
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
                "a cookie key is 32 random bytes in unpadded base64url; make one with \
                 `head -c 32 /dev/urandom | basenc --base64url | tr -d =`",
            ),
            Self::NotSet { variable } => {
                write!(f, "the environment variable {variable} is not set")
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

/// The ring of keys: one seals, and all of them open.
///
/// To rotate, put a new key in front and keep the old one as long as a cookie may live.
///
/// ```
/// use portcullis::seal::{CookieKey, CookieKeys};
///
/// # let (new, old) = (CookieKey::generate(), CookieKey::generate());
/// let keys = CookieKeys::new(&new).and_previous(&old);
/// ```
///
/// Nonces are random, and AES-GCM-SIV forgives one that occurs twice. Rotate all the same, before
/// some 2³² cookies were sealed with one key (RFC 8452 §9).
#[derive(Clone)]
pub struct CookieKeys {
    active: Prepared,
    previous: Vec<Prepared>,
}

impl CookieKeys {
    /// One key, which seals and opens.
    pub fn new(key: &CookieKey) -> Self {
        Self {
            active: Prepared::new(key),
            previous: Vec::new(),
        }
    }

    /// A key that sealed earlier, and now only opens.
    #[must_use]
    pub fn and_previous(mut self, key: &CookieKey) -> Self {
        self.previous.push(Prepared::new(key));
        self
    }

    /// Seals `message`: key id, nonce, ciphertext, tag.
    pub(super) fn seal(&self, message: &[u8], bound_to: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the operating system gives randomness");
        let mut sealed = message.to_vec();
        self.active
            .cipher
            .encrypt_in_place(&Nonce::from(nonce), bound_to, &mut sealed)
            .expect("a message of some kilobytes is within AES-GCM-SIV's 2^36 bytes");
        sealed.splice(..0, [&self.active.id[..], &nonce].concat());
        sealed
    }

    /// Whether it is the sealing key that has sealed this.
    pub(super) fn seals_like(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&self.active.id)
    }

    /// What `sealed` holds, if one of the keys has sealed it for the same purpose.
    pub(super) fn open(&self, mut sealed: Vec<u8>, bound_to: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_first_chunk::<ID>()?;
        let (nonce, _) = rest.split_first_chunk::<NONCE>()?;
        let (id, nonce) = (*id, Nonce::from(*nonce));
        sealed.drain(..ID + NONCE);
        let mut keys = std::iter::once(&self.active).chain(&self.previous);
        let key = keys.find(|key| key.id == id)?;
        key.cipher
            .decrypt_in_place(&nonce, bound_to, &mut sealed)
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

#[derive(Clone)]
struct Prepared {
    id: [u8; ID],
    cipher: Aes256GcmSiv,
}

impl Prepared {
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
    fn every_bit_counts() {
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
    fn a_previous_key_opens_and_a_retired_one_does_not() {
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
    fn debug_prints_no_key() {
        let key = CookieKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
        assert_eq!(format!("{key:?}"), "CookieKey([redacted])");
        assert!(CookieKey::parse("AAECAwQF").is_err());
        assert!(CookieKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_created_once_for_its_owner_alone() {
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
