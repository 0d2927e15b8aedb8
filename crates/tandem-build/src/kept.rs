//! What a builder remembers between two builds of an app: small JSON files in the app's build folder.
//!
//! They are caches: a file that is missing, damaged or of another version is as none, and costs only time.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tandem_kit::files;

#[derive(Deserialize, Serialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    value: T,
}

/// Reads what was remembered; the default where nothing usable is there.
pub(crate) fn read<T: DeserializeOwned + Default>(path: &Path, version: u32) -> T {
    match files::read_json::<Versioned<T>>(path) {
        Ok(Some(stored)) if stored.version == version => stored.value,
        Ok(_) => T::default(),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "a build cache is of no use and is made anew");
            T::default()
        }
    }
}

/// Remembers something. Failing is logged only: the next build is slower.
pub(crate) fn write<T: Serialize>(path: &Path, version: u32, value: &T) {
    let bytes = serde_json::to_vec(&Versioned { version, value }).expect("names and digests are always JSON");
    if let Err(error) = files::write_atomic_unsynced(path, &bytes, 0o600) {
        tracing::warn!(%error, path = %path.display(), "a build cache could not be written");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Names = BTreeMap<String, u32>;

    #[test]
    fn what_is_damaged_or_of_another_version_is_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.json");
        assert_eq!(read::<Names>(&path, 1), Names::new());
        let names = Names::from([("a".to_owned(), 1)]);
        write(&path, 1, &names);
        assert_eq!(read::<Names>(&path, 1), names);
        assert_eq!(read::<Names>(&path, 2), Names::new());
        let whole = std::fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() / 2], b"", b"[]", b"{\"version\":1,\"a\":\"text\"}"] {
            files::write_atomic(&path, damaged, 0o600).unwrap();
            assert_eq!(read::<Names>(&path, 1), Names::new());
        }
    }
}
