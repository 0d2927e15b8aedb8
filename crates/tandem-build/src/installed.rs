//! Parts of builds that take long to make, kept in the blob store under a key of all that decides what comes of them:
//! installed dependencies, installed packages of Node's. The keys lie in the app's build folder.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tandem_blobs::BlobStore;
use tandem_types::Digest;

use crate::{Error, kept};

/// Something installed in the blob store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installed {
    pub(crate) tree: Digest,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Number of packages.
    pub(crate) packages: u64,
}

/// How what is installed of one kind is remembered.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Name of the file with the keys.
    pub(crate) file: &'static str,
    /// Version of that file, and of how such parts are made.
    pub(crate) version: u32,
    /// Keys remembered: a few branches that are deployed in turn.
    pub(crate) most: usize,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// Latest first.
    entries: Vec<(Digest, Installed)>,
}

impl Keys {
    /// The part for a key, if it was made before and is still whole.
    pub(crate) fn find(
        &self,
        folder: &Path,
        store: &BlobStore,
        key: &Digest,
    ) -> Result<Option<Installed>, Error> {
        let Some((_, part)) = self.read(folder).into_iter().find(|(known, _)| known == key) else {
            return Ok(None);
        };
        Ok(store.is_complete(&part.tree)?.then_some(part))
    }

    /// Roots of everything that the keys name: a sweep of blobs keeps them.
    pub(crate) fn roots(&self, folder: &Path) -> Vec<Digest> {
        self.read(folder).into_iter().map(|(_, part)| part.tree).collect()
    }

    /// Remembers what was made last.
    pub(crate) fn remember(&self, folder: &Path, key: Digest, part: Installed) {
        let mut entries = self.read(folder);
        entries.retain(|(known, _)| *known != key);
        entries.insert(0, (key, part));
        entries.truncate(self.most);
        self.write(folder, entries);
    }

    /// Bytes of the files of all parts but the one that was made last.
    pub(crate) fn spare_bytes(&self, folder: &Path) -> u64 {
        self.read(folder).iter().skip(1).map(|(_, part)| part.bytes).sum()
    }

    /// Forgets all parts but the one that was made last, so that a sweep removes their blobs where no build needs them.
    pub(crate) fn forget_spare(&self, folder: &Path) {
        let mut entries = self.read(folder);
        entries.truncate(1);
        self.write(folder, entries);
    }

    fn read(&self, folder: &Path) -> Vec<(Digest, Installed)> {
        kept::read::<Known>(&folder.join(self.file), self.version).entries
    }

    fn write(&self, folder: &Path, entries: Vec<(Digest, Installed)>) {
        kept::write(&folder.join(self.file), self.version, &Known { entries });
    }
}
