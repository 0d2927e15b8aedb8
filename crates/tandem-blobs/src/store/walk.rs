//! Walking through trees in the store: what is below a root, how much it is, and what of it is missing.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

use super::{BlobStore, Error};
use crate::{packed, tree};

/// What a digest in a tree names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobKind {
    /// A file's content.
    File,
    /// A folder's listing.
    Folder,
}

/// How much a tree is once it is laid out: what is in it twice counts twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeSummary {
    /// Digest of the root.
    pub digest: Digest,
    /// Number of files.
    pub files: u64,
    /// Number of folders, the root not counted.
    pub folders: u64,
    /// Number of symbolic links.
    pub links: u64,
    /// Sum of the sizes of the files.
    pub bytes: u64,
}

impl TreeSummary {
    fn empty(digest: Digest) -> Self {
        Self { digest, files: 0, folders: 0, links: 0, bytes: 0 }
    }

    fn add_below(&mut self, below: &Self) {
        self.files = self.files.saturating_add(below.files);
        self.folders = self.folders.saturating_add(below.folders).saturating_add(1);
        self.links = self.links.saturating_add(below.links);
        self.bytes = self.bytes.saturating_add(below.bytes);
    }

    fn entries(&self) -> u64 {
        self.files.saturating_add(self.folders).saturating_add(self.links)
    }
}

impl BlobStore {
    /// Everything reachable from a root, itself included, each once.
    ///
    /// # Errors
    /// A folder's listing is missing, damaged or none, or the tree is deeper than [`tree::MAX_DEPTH`].
    pub fn walk(&self, root: &Digest) -> Result<Vec<(Digest, BlobKind)>, Error> {
        let mut seen = HashSet::from([(*root, BlobKind::Folder)]);
        let mut level = vec![*root];
        for _ in 0..=tree::MAX_DEPTH {
            let mut next = Vec::new();
            for folder in level {
                for (digest, kind) in children(&self.read_tree(&folder)?) {
                    if seen.insert((digest, kind)) && kind == BlobKind::Folder {
                        next.push(digest);
                    }
                }
            }
            if next.is_empty() {
                return Ok(seen.into_iter().collect());
            }
            level = next;
        }
        Err(Error::TooBig(*root))
    }

    /// How much a tree is.
    ///
    /// # Errors
    /// As [`BlobStore::walk`], and when it has more than [`tree::MAX_ENTRIES`] entries.
    pub fn summary(&self, root: &Digest) -> Result<TreeSummary, Error> {
        let (summary, _) = self.summarize(root, 0, &mut HashMap::new())?;
        if summary.entries() > tree::MAX_ENTRIES { Err(Error::TooBig(*root)) } else { Ok(summary) }
    }

    /// A folder's summary and how many levels of folders are below it. One that is in a tree twice is looked at once, and
    /// may be deeper the second time.
    fn summarize(
        &self,
        root: &Digest,
        depth: usize,
        known: &mut HashMap<Digest, (TreeSummary, usize)>,
    ) -> Result<(TreeSummary, usize), Error> {
        if let Some((summary, levels)) = known.get(root) {
            let fits = depth + levels <= tree::MAX_DEPTH;
            return if fits { Ok((*summary, *levels)) } else { Err(Error::TooBig(*root)) };
        }
        if depth > tree::MAX_DEPTH {
            return Err(Error::TooBig(*root));
        }
        let (mut summary, mut levels) = (TreeSummary::empty(*root), 0);
        for entry in self.read_tree(root)?.entries.values() {
            match entry {
                Entry::File { size, .. } => {
                    summary.files = summary.files.saturating_add(1);
                    summary.bytes = summary.bytes.saturating_add(*size);
                }
                Entry::Link { .. } => summary.links = summary.links.saturating_add(1),
                Entry::Folder { digest } => {
                    let (below, levels_below) = self.summarize(digest, depth + 1, known)?;
                    summary.add_below(&below);
                    levels = levels.max(levels_below + 1);
                }
            }
        }
        known.insert(*root, (summary, levels));
        Ok((summary, levels))
    }

    /// What is at a path below a root, such as `a/b`; the root itself at an empty one. Links are not followed.
    ///
    /// # Errors
    /// A folder's listing is missing, damaged or none.
    pub fn lookup(&self, root: &Digest, path: &str) -> Result<Option<Entry>, Error> {
        let mut found = Entry::Folder { digest: *root };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Entry::Folder { digest } = found else { return Ok(None) };
            match self.read_tree(&digest)?.entries.remove(name) {
                Some(entry) => found = entry,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// Which of these digests somebody should send: those that are not here, and trees below which something is not.
    /// So a sender that goes down from the root skips what is whole and finds what is not.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, Error> {
        let mut missing = Vec::new();
        for digest in digests {
            let here = self.touch(digest) && (!self.looks_like_tree(digest) || self.is_complete(digest)?);
            if !here {
                missing.push(*digest);
            }
        }
        Ok(missing)
    }

    /// Whether a tree and everything below it is here. Remembered until something is removed.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn is_complete(&self, root: &Digest) -> Result<bool, Error> {
        self.touch(root);
        self.is_complete_below(root, 0)
    }

    fn is_complete_below(&self, root: &Digest, depth: usize) -> Result<bool, Error> {
        if self.lock(&self.inner.complete).contains(root) {
            return Ok(true);
        }
        if depth > tree::MAX_DEPTH {
            return Ok(false);
        }
        let listing = match self.read_tree(root) {
            Ok(listing) => listing,
            Err(Error::Tree { .. }) => return Ok(false),
            Err(error) if error.is_missing() => return Ok(false),
            Err(error) => return Err(error),
        };
        for (digest, kind) in children(&listing) {
            let whole = match kind {
                BlobKind::File => self.metadata(&digest).is_ok(),
                BlobKind::Folder => self.is_complete_below(&digest, depth + 1)?,
            };
            if !whole {
                return Ok(false);
            }
        }
        self.lock(&self.inner.complete).insert(*root);
        Ok(true)
    }

    /// Whether a blob begins as every tree does. A file may, too: then it is sent once more than needed.
    pub(super) fn looks_like_tree(&self, digest: &Digest) -> bool {
        let mut head = [0; tree::TREE_PREFIX.len()];
        let read = self
            .open_blob(digest)
            .ok()
            .and_then(|file| packed::decoder(file).ok())
            .is_some_and(|mut reader| reader.read_exact(&mut head).is_ok());
        read && head == tree::TREE_PREFIX
    }
}

/// The files and folders that a listing names.
pub(crate) fn children(tree: &Tree) -> impl Iterator<Item = (Digest, BlobKind)> {
    tree.entries.values().filter_map(|entry| match entry {
        Entry::File { digest, .. } => Some((*digest, BlobKind::File)),
        Entry::Folder { digest } => Some((*digest, BlobKind::Folder)),
        Entry::Link { .. } => None,
    })
}
