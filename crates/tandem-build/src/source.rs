//! The source as the builder sees it: its whole listing in memory, contents in the blob store.

use std::collections::{BTreeMap, BTreeSet};

use tandem_blobs::store::{self, BlobStore};
use tandem_blobs::tree;
use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

use crate::Error;

/// Files of the source that are read for what they say are no longer than this.
const MAX_TEXT_BYTES: u64 = 8 * 1024 * 1024;
/// Links that lead to links and so on; more are a circle.
const MAX_LINKS: usize = 40;

/// A file of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) executable: bool,
}

/// What is at a path, links followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    File(File),
    /// A folder, and its path without links.
    Folder(String),
}

/// The whole listing. Paths are below the root, parts joined by `/`; the root is the empty path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    pub(crate) files: BTreeMap<String, File>,
    pub(crate) links: BTreeMap<String, String>,
    /// Every folder but the root.
    pub(crate) folders: BTreeSet<String>,
    store: Option<BlobStore>,
}

impl Source {
    /// Reads the listing of a tree.
    pub(crate) fn load(store: &BlobStore, root: &Digest) -> Result<Self, store::Error> {
        store.summary(root)?;
        let mut source = Self { store: Some(store.clone()), ..Self::default() };
        source.add_folder(store, root, "")?;
        Ok(source)
    }

    fn add_folder(&mut self, store: &BlobStore, digest: &Digest, prefix: &str) -> Result<(), store::Error> {
        for (name, entry) in store.read_tree(digest)?.entries {
            let path = format!("{prefix}{name}");
            match entry {
                Entry::File { digest, size, executable } => {
                    self.files.insert(path, File { digest, size, executable });
                }
                Entry::Link { target } => {
                    self.links.insert(path, target);
                }
                Entry::Folder { digest } => {
                    self.add_folder(store, &digest, &format!("{path}/"))?;
                    self.folders.insert(path);
                }
            }
        }
        Ok(())
    }

    /// Whether there is a file at exactly this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Path of the file with this name (or path) that is nearest to a folder: in it, else in the ones above it up to the top.
    pub(crate) fn nearest(&self, folder: &str, name: &str) -> Option<String> {
        folders_up(folder).map(|folder| below(folder, name)).find(|path| self.has(path))
    }

    /// The text of a file at exactly this path; none where there is none.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, Error> {
        let Some(file) = self.files.get(path) else { return Ok(None) };
        let malformed = |reason: &str| Error::Malformed { path: path.to_owned(), reason: reason.to_owned() };
        if file.size > MAX_TEXT_BYTES {
            return Err(malformed("it is too long"));
        }
        let store = self.store.as_ref().expect("a source with files was loaded from a store");
        let bytes = store.read(&file.digest)?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| malformed("it is not UTF-8"))?;
        // Some editors put a byte order mark in front, which is no part of the text.
        Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
    }

    /// What is at a path, links followed as the kernel does.
    pub(crate) fn resolve(&self, path: &str) -> Found {
        let mut waiting: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut at, mut followed) = (String::new(), 0);
        while let Some(part) = waiting.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = if at.is_empty() { part } else { format!("{at}/{part}") };
            if let Some(target) = self.links.get(&next) {
                followed += 1;
                if followed > MAX_LINKS || target.starts_with('/') {
                    return Found::Missing;
                }
                waiting.extend(target.split('/').rev().map(str::to_owned));
            } else if self.folders.contains(&next) {
                at = next;
            } else if let Some(file) = self.files.get(&next) {
                let last = waiting.iter().all(|part| part.is_empty() || part == ".");
                return if last { Found::File(*file) } else { Found::Missing };
            } else {
                return Found::Missing;
            }
        }
        Found::Folder(at)
    }

    /// Names in a folder given by its path without links, each with what it is: `d`, `f`, or `l` and the target.
    pub(crate) fn list(&self, folder: &str) -> Vec<(String, String)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut names = Vec::new();
        let mut add = |path: &str, kind: String| {
            if let Some(name) = path.strip_prefix(&prefix).filter(|name| !name.contains('/')) {
                names.push((name.to_owned(), kind));
            }
        };
        let below = prefix.clone()..;
        for path in self.folders.range(below.clone()).take_while(|path| path.starts_with(&prefix)) {
            add(path, "d".to_owned());
        }
        for (path, _) in self.files.range(below.clone()).take_while(|(path, _)| path.starts_with(&prefix)) {
            add(path, "f".to_owned());
        }
        for (path, target) in self.links.range(below).take_while(|(path, _)| path.starts_with(&prefix)) {
            add(path, format!("l{target}"));
        }
        names.sort();
        names
    }

    /// Puts a file in place, with the folders above it.
    pub(crate) fn insert(&mut self, path: &str, file: File) {
        self.insert_parents(path);
        self.files.insert(path.to_owned(), file);
    }

    /// Makes sure that there is a real folder at a path. A file or link in its place is dropped: something will be
    /// mounted there. Not done where a link or file is above it.
    pub(crate) fn insert_folder(&mut self, path: &str) {
        if !self.is_plain(path) {
            return;
        }
        self.insert_parents(path);
        self.files.remove(path);
        self.links.remove(path);
        self.folders.insert(path.to_owned());
    }

    /// Whether nothing but folders is, or could be made, above a path.
    pub(crate) fn is_plain(&self, path: &str) -> bool {
        let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        parents.all(|parent| !self.links.contains_key(parent) && !self.files.contains_key(parent))
    }

    /// Drops everything below a folder, but keeps the folder.
    pub(crate) fn empty_folder(&mut self, path: &str) {
        let prefix = format!("{path}/");
        self.files.retain(|file, _| !file.starts_with(&prefix));
        self.links.retain(|link, _| !link.starts_with(&prefix));
        self.folders.retain(|folder| !folder.starts_with(&prefix));
        self.insert_folder(path);
    }

    /// Drops all folders of a name that an earlier listing did not have, with everything in them.
    pub(crate) fn drop_new_folders(&mut self, name: &str, earlier: &BTreeSet<String>) {
        let is_new = |folder: &&String| folder.rsplit('/').next() == Some(name) && !earlier.contains(*folder);
        let new: Vec<String> = self.folders.iter().filter(is_new).cloned().collect();
        for folder in new {
            self.empty_folder(&folder);
            self.folders.remove(&folder);
        }
    }

    fn insert_parents(&mut self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at);
        self.folders.extend(ends.map(|at| path[..at].to_owned()));
    }

    /// Keeps the listing as trees; returns the root.
    pub(crate) fn put(&self, store: &BlobStore) -> Result<Digest, store::Error> {
        let mut trees: BTreeMap<&str, Tree> = BTreeMap::from([("", Tree::default())]);
        for folder in &self.folders {
            trees.entry(folder).or_default();
        }
        let mut add = |path: &'_ str, entry: Entry| {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let tree = trees.get_mut(folder).expect("every folder above a file is known");
            tree.entries.insert(name.to_owned(), entry);
        };
        for (path, File { digest, size, executable }) in &self.files {
            add(path, Entry::File { digest: *digest, size: *size, executable: *executable });
        }
        for (path, target) in &self.links {
            add(path, Entry::Link { target: target.clone() });
        }
        // A folder sorts before everything in it, so from the end all children are ready when their parent is.
        let mut root = tree::digest_of(b"");
        while let Some((folder, tree)) = trees.pop_last() {
            root = store.put_tree(&tree)?;
            if !folder.is_empty() {
                let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
                let parent = trees.get_mut(parent).expect("every folder above a folder is known");
                parent.entries.insert(name.to_owned(), Entry::Folder { digest: root });
            }
        }
        Ok(root)
    }
}

/// A folder and those above it; the top, the empty path, is the last.
pub(crate) fn folders_up(folder: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(folder), |&folder| match folder {
        "" => None,
        _ => Some(folder.rsplit_once('/').map_or("", |(above, _)| above)),
    })
}

/// The path of what has a name (or path) in a folder.
pub(crate) fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
impl Source {
    /// A source of these files, kept in a store.
    pub(crate) fn of(store: &BlobStore, files: &[(&str, &str)]) -> Self {
        let mut source = Self { store: Some(store.clone()), ..Self::default() };
        for (path, text) in files {
            let digest = store.put(text.as_bytes()).expect("a store for tests takes everything");
            source.insert(path, File { digest, size: text.len() as u64, executable: false });
        }
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, BlobStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn a_listing_that_is_put_and_loaded_is_the_same() {
        let (_folder, store) = store();
        let mut source =
            Source::of(&store, &[("a.py", "1"), ("pkg/b.py", "2"), ("pkg/sub/c.py", ""), ("pkg-x/d", "")]);
        source.links.insert("pkg/link".to_owned(), "../a.py".to_owned());
        source.insert_folder("mount/point");
        let root = source.put(&store).unwrap();
        let loaded = Source::load(&store, &root).unwrap();
        assert_eq!((&loaded.files, &loaded.links), (&source.files, &source.links));
        assert_eq!(loaded.folders, source.folders);
        assert_eq!(loaded.put(&store).unwrap(), root);
        assert_eq!(loaded.text("pkg/b.py").unwrap().as_deref(), Some("2"));
        assert_eq!(loaded.text("nowhere").unwrap(), None);
    }

    #[test]
    fn links_lead_where_the_kernel_would_go() {
        let (_folder, store) = store();
        let mut source = Source::of(&store, &[("a/x", "1"), ("b/c/y", "2")]);
        for (path, target) in [("l", "b/c"), ("b/up", ".."), ("loop", "loop"), ("out", "/etc"), ("f", "a/x")]
        {
            source.links.insert(path.to_owned(), target.to_owned());
        }
        let file = |path: &str| Found::File(source.files[path]);
        assert_eq!(source.resolve("l/y"), file("b/c/y"));
        assert_eq!(source.resolve("b/up/a/x"), file("a/x"));
        assert_eq!(source.resolve("f"), file("a/x"));
        assert_eq!(source.resolve("l"), Found::Folder("b/c".to_owned()));
        assert_eq!(source.resolve(""), Found::Folder(String::new()));
        for nowhere in ["loop", "out", "a/x/y", "nope", "a/nope"] {
            assert_eq!(source.resolve(nowhere), Found::Missing, "{nowhere}");
        }
        let names: Vec<_> = source.list("b").into_iter().map(|(name, kind)| name + ":" + &kind).collect();
        assert_eq!(names, ["c:d", "up:l.."]);
    }

    #[test]
    fn the_nearest_of_several_files_is_that_of_the_folder_or_of_one_above() {
        let (_folder, store) = store();
        let source = Source::of(&store, &[("a", ""), ("x/a", ""), ("x/y/b", ""), ("z/a", "")]);
        for (folder, name, found) in [
            ("x/y", "a", Some("x/a")),
            ("x", "a", Some("x/a")),
            ("", "a", Some("a")),
            ("w/v", "a", Some("a")),
            ("x/y/z", "b", Some("x/y/b")),
            ("x", "y/b", Some("x/y/b")),
            ("x", "b", None),
        ] {
            assert_eq!(source.nearest(folder, name).as_deref(), found, "{name} from {folder:?}");
        }
        assert_eq!(folders_up("x/y").collect::<Vec<_>>(), ["x/y", "x", ""]);
    }
}
