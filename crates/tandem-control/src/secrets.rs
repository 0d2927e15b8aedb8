//! Config values at rest: sealed with the installation's own key, told apart by a keyed digest.
//!
//! Every config value is treated as a secret. It is sealed with age (X25519) before it reaches the store; the journal
//! holds names and digests only. The digest is keyed, so that a guess at a value cannot be checked without the key
//! file. Losing `keys/secrets.key` loses every value: the file belongs into each backup of the data folder.

use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tandem_kit::files;
use tandem_types::environment::Sealed;

/// Name of the key file below the folder of keys.
const KEY_FILE: &str = "secrets.key";
/// Context of the key that config digests are made with; it must never change.
const DIGEST_CONTEXT: &str = "tandem 2026-11-21 digest of config values";
/// Digits of a digest that are kept: enough to tell two values apart, too few to be of other use.
const DIGEST_DIGITS: usize = 12;

/// Why the key file cannot be used. Fits after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("read the key of config values {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file cannot be written at the first start.
    #[error("write the key of config values")]
    Write(#[source] files::Error),
    /// The file holds no age identity.
    #[error("understand the key of config values {}: it holds no age identity", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// Why a value cannot be sealed or opened. Never says anything of the value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// age refused; only a broken source of random numbers does that.
    #[error("seal the config value")]
    Seal(#[source] age::EncryptError),
    /// The value was sealed with another key, or is damaged.
    #[error("open the config value: it was sealed with another key, or is damaged")]
    Open,
}

/// Seals and opens config values.
pub struct Keyring {
    identity: Identity,
    digest_key: [u8; 32],
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// Reads the key from the folder of keys; makes one (mode 0600, synced) at the first start.
    ///
    /// # Errors
    /// Fails when the file cannot be read, written or understood.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(KEY_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let identity =
                    text.lines().find(|line| !line.starts_with('#')).unwrap_or_default().trim().parse();
                identity.map(Self::new).map_err(|_| KeyError::Malformed { path })
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                files::ensure_dir(folder, 0o700).map_err(KeyError::Write)?;
                Self::create(&path)
            }
            Err(cause) => Err(KeyError::Read { path, cause }),
        }
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        let identity = Identity::generate();
        let text = format!(
            "# Opens the config values of this Tandem installation. Keep it with your backups, and to yourself.\n{}\n",
            identity.to_string().expose_secret()
        );
        files::write_atomic(path, text.as_bytes(), 0o600).map_err(KeyError::Write)?;
        Ok(Self::new(identity))
    }

    fn new(identity: Identity) -> Self {
        let digest_key = blake3::derive_key(DIGEST_CONTEXT, identity.to_string().expose_secret().as_bytes());
        Self { identity, digest_key }
    }

    /// The value as it may be stored. Two sealings of one value differ, their digests do not.
    ///
    /// # Errors
    /// Fails when age does.
    pub fn seal(&self, value: &str) -> Result<Sealed, SealError> {
        let ciphertext =
            age::encrypt(&self.identity.to_public(), value.as_bytes()).map_err(SealError::Seal)?;
        Ok(Sealed { ciphertext: STANDARD.encode(ciphertext), digest: self.digest(value) })
    }

    /// The value again.
    ///
    /// # Errors
    /// Fails when it was sealed with another key or is damaged.
    pub fn open_value(&self, sealed: &Sealed) -> Result<String, SealError> {
        let ciphertext = STANDARD.decode(&sealed.ciphertext).map_err(|_| SealError::Open)?;
        let value = age::decrypt(&self.identity, &ciphertext).map_err(|_| SealError::Open)?;
        String::from_utf8(value).map_err(|_| SealError::Open)
    }

    /// The keyed digest of a value, as in [`Sealed::digest`].
    #[must_use]
    pub fn digest(&self, value: &str) -> String {
        let mut digits = blake3::keyed_hash(&self.digest_key, value.as_bytes()).to_hex().to_string();
        digits.truncate(DIGEST_DIGITS);
        digits
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_sealed_value_opens_after_a_restart_and_shows_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let sealed = Keyring::open(folder.path()).expect("a new key").seal("hunter2").expect("sealed");
        let text = format!("{sealed:?} {}", serde_json::to_string(&sealed).expect("JSON"));
        assert!(!text.contains("hunter2"), "{text}");
        let again = Keyring::open(folder.path()).expect("the same key");
        assert_eq!(again.open_value(&sealed).expect("opened"), "hunter2");
    }

    #[test]
    fn digests_tell_equal_from_changed_and_differ_between_installations() {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let here = Keyring::open(here.path()).expect("a key");
        let there = Keyring::open(there.path()).expect("a key");
        assert_eq!(here.seal("a").expect("sealed").digest, here.seal("a").expect("sealed").digest);
        assert_ne!(here.digest("a"), here.digest("b"));
        assert_ne!(here.digest("a"), there.digest("a"));
        assert!(matches!(there.open_value(&here.seal("a").expect("sealed")), Err(SealError::Open)));
    }

    #[test]
    fn the_key_file_is_closed_to_others_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        Keyring::open(folder.path()).expect("a new key");
        let path = folder.path().join(KEY_FILE);
        assert_eq!(std::fs::metadata(&path).expect("the key file").permissions().mode() & 0o777, 0o600);
        files::write_atomic(&path, b"AGE-SECRET-KEY-1BROKEN\n", 0o600).expect("written");
        assert!(matches!(Keyring::open(folder.path()), Err(KeyError::Malformed { .. })));
    }
}
