//! The server's blobs, with trees of static files.

use tandem_blobs::BlobStore;
use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

/// Blobs in a folder of their own.
pub(super) struct Blobs {
    folder: tempfile::TempDir,
    pub store: BlobStore,
}

impl Blobs {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        Self { folder, store }
    }

    /// Loses a blob, as a disk does.
    pub(super) fn lose(&self, content: &[u8]) {
        let name = tandem_blobs::tree::digest_of(content).to_string();
        std::fs::remove_file(self.folder.path().join(&name[..2]).join(&name[2..])).unwrap();
    }

    /// A tree with these files; a name may have one folder in it.
    pub(super) fn tree(&self, files: &[(&str, &[u8])]) -> Digest {
        let mut root = Tree::default();
        let mut folders = std::collections::BTreeMap::<&str, Tree>::new();
        for (name, content) in files {
            let digest = self.store.put(content).unwrap();
            let entry = Entry::File { digest, size: content.len() as u64, executable: false };
            match name.split_once('/') {
                Some((folder, name)) => {
                    folders.entry(folder).or_default().entries.insert(name.to_owned(), entry)
                }
                None => root.entries.insert((*name).to_owned(), entry),
            };
        }
        for (name, folder) in folders {
            let digest = self.store.put_tree(&folder).unwrap();
            root.entries.insert(name.to_owned(), Entry::Folder { digest });
        }
        self.store.put_tree(&root).unwrap()
    }
}
