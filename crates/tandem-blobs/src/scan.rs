//! A source folder as a tree, without copying it: what a client sends of it is what the server misses.
//!
//! What is left out depends on the folder alone, never on the machine: `.gitignore` files in it and above it in the
//! same repository count, a person's global ignores and `.git/info/exclude` do not, and no git is needed. Always left
//! out: `.git`, `__pycache__`, virtual environments, empty folders (git has none either), sockets and devices.
//! Files such as `.env` are left out as well, ignored or not, but for examples. `include` patterns, written as in a `.gitignore`, bring such and ignored files back.
//!
//! Symbolic links are kept as links, never followed, and must stay inside.

use std::collections::HashMap;
use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tandem_kit::clock::Clock;
use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

use crate::{links, tree};

mod environment;
mod hashes;
mod ignores;
#[cfg(test)]
mod tests;

pub use environment::{EnvironmentFiles, is_environment_file, warning_of_environment_files};
use hashes::HashCache;
use ignores::{Ignores, Include, Verdict};

/// Why a folder cannot be deployed as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk said no.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is no folder.
    #[error("read {}: it is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// A symbolic link that leads out of the folder.
    #[error("take the link {}", path.display())]
    Link {
        /// Its path below the folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: links::Refusal,
    },
    /// A name or link target that is not UTF-8.
    #[error("take {}: its name or target is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// A pattern of `include` that is none.
    #[error("read the include pattern {pattern:?}")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: ignore::Error,
    },
    /// Deeper than any real source.
    #[error("read {}: the folder is too deep", .0.display())]
    TooDeep(PathBuf),
}

impl Error {
    /// What people can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Link { path, .. } => Some(format!(
                "replace the link by the file it leads to, or leave it out by a line `/{}` in .gitignore",
                path.display()
            )),
            Self::NotUtf8(path) => Some(format!("rename {}, or leave it out by .gitignore", path.display())),
            Self::Pattern { .. } => {
                Some("patterns of [source] include are written as in a .gitignore".to_owned())
            }
            _ => None,
        }
    }
}

/// How to scan.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Patterns that bring ignored files back.
    pub include: &'a [String],
    /// File that keeps digests between scans; one a folder. It is only a cache: damage costs time.
    pub cache: Option<&'a Path>,
    /// Tells which files are too young to be trusted the next time.
    pub clock: &'a Clock,
}

/// A folder's tree, and where to get every blob of it.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Digest of the root's listing.
    pub root: Digest,
    /// Everything reachable from it.
    pub origins: HashMap<Digest, Origin>,
    /// Number of files.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// Files that were read because the cache did not know them.
    pub hashed: u64,
    /// Files with environment variables that were left out though nothing ignores them, below the folder.
    pub left_out: Vec<String>,
}

/// Where a blob comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The content of a file; it may have changed since.
    File {
        /// Absolute path.
        path: PathBuf,
        /// Size when it was scanned.
        size: u64,
    },
    /// A folder's listing.
    Tree {
        /// Its canonical bytes.
        bytes: Bytes,
    },
}

impl Origin {
    /// Bytes of its content, as it was scanned.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Tree { bytes } => bytes.len() as u64,
        }
    }
}

/// Scans a source folder.
///
/// # Errors
/// See [`Error`]; [`Error::hint`] says what to do.
pub fn scan_source(folder: &Path, options: &Options<'_>) -> Result<Scan, Error> {
    let root = fs::canonicalize(folder).map_err(io_error("open", folder))?;
    if !root.is_dir() {
        return Err(Error::NotAFolder(root));
    }
    let root_digest = Digest([0; 32]);
    let left_out = Vec::new();
    let empty = Scan { root: root_digest, origins: HashMap::new(), files: 0, bytes: 0, hashed: 0, left_out };
    let mut walk = Walk {
        ignores: Ignores::above(&root),
        include: Include::new(options.include)?,
        hashes: HashCache::open(options.cache, options.clock.now()),
        scan: empty,
    };
    walk.scan.root = match walk.folder(&root, (Path::new(""), 0), Verdict::Take)? {
        Some(digest) => digest,
        None => walk.keep_tree(&Tree::default()),
    };
    walk.hashes.save();
    Ok(walk.scan)
}

struct Walk {
    ignores: Ignores,
    include: Include,
    hashes: HashCache,
    scan: Scan,
}

impl Walk {
    /// The listing's digest; none where nothing is taken.
    fn folder(
        &mut self,
        folder: &Path,
        (below, depth): (&Path, usize),
        verdict: Verdict,
    ) -> Result<Option<Digest>, Error> {
        if depth > tree::MAX_DEPTH {
            return Err(Error::TooDeep(below.to_owned()));
        }
        self.ignores.enter(folder);
        let mut tree = Tree::default();
        for entry in sorted_entries(folder)? {
            let below = below.join(entry.file_name());
            if let Some(taken) = self.entry(&entry, (&below, depth), verdict)? {
                let name = entry.file_name().into_string().map_err(|_| Error::NotUtf8(below))?;
                tree.entries.insert(name, taken);
            }
        }
        self.ignores.leave();
        Ok((!tree.entries.is_empty()).then(|| self.keep_tree(&tree)))
    }

    fn entry(
        &mut self,
        entry: &DirEntry,
        (below, depth): (&Path, usize),
        parent: Verdict,
    ) -> Result<Option<Entry>, Error> {
        let path = entry.path();
        let file_type = entry.file_type().map_err(io_error("look at", &path))?;
        let is_folder = file_type.is_dir();
        let verdict = self.verdict(&path, (below, is_folder), parent);
        if is_folder {
            if verdict == Verdict::LeaveOut {
                return Ok(None);
            }
            let listing = self.folder(&path, (below, depth + 1), verdict)?;
            return Ok(listing.map(|digest| Entry::Folder { digest }));
        }
        if !matches!(verdict, Verdict::Take | Verdict::TakeAll) {
            return Ok(None);
        }
        if file_type.is_symlink() {
            return link(&path, (below, depth)).map(Some);
        }
        if file_type.is_file() {
            return self.file(&path, below).map(Some);
        }
        tracing::debug!(path = %path.display(), "left out what is neither file, folder nor link");
        Ok(None)
    }

    fn verdict(&mut self, path: &Path, (below, is_folder): (&Path, bool), parent: Verdict) -> Verdict {
        if ignores::is_never_source(path, is_folder) {
            return Verdict::LeaveOut;
        }
        if parent == Verdict::TakeAll {
            return Verdict::TakeAll;
        }
        let ignored = parent == Verdict::OnlyIncluded || self.ignores.is_ignored(path, is_folder);
        let is_environment =
            !is_folder && path.file_name().and_then(|name| name.to_str()).is_some_and(is_environment_file);
        if !ignored && !is_environment {
            return Verdict::Take;
        }
        let verdict = self.include.verdict(below, is_folder);
        if !ignored && verdict == Verdict::LeaveOut {
            self.scan.left_out.extend(below.to_str().map(str::to_owned));
        }
        verdict
    }

    fn file(&mut self, path: &Path, below: &Path) -> Result<Entry, Error> {
        let metadata = fs::symlink_metadata(path).map_err(io_error("look at", path))?;
        let (digest, size) = match self.hashes.find(below, &metadata) {
            Some(digest) => (digest, metadata.len()),
            None => {
                self.scan.hashed += 1;
                let (digest, size) = hash(path).map_err(io_error("read", path))?;
                self.hashes.remember(below, &metadata, digest);
                (digest, size)
            }
        };
        self.scan.files += 1;
        self.scan.bytes += size;
        self.scan.origins.entry(digest).or_insert_with(|| Origin::File { path: path.to_owned(), size });
        Ok(Entry::File { digest, size, executable: metadata.permissions().mode() & 0o100 != 0 })
    }

    fn keep_tree(&mut self, tree: &Tree) -> Digest {
        let bytes = tree::encode(tree);
        let digest = tree::digest_of(&bytes);
        self.scan.origins.insert(digest, Origin::Tree { bytes: bytes.into() });
        digest
    }
}

fn link(path: &Path, (below, depth): (&Path, usize)) -> Result<Entry, Error> {
    let target = fs::read_link(path).map_err(io_error("read the link", path))?;
    let target = target.into_os_string().into_string().map_err(|_| Error::NotUtf8(below.to_owned()))?;
    links::check(depth, &target, None).map_err(|source| Error::Link { path: below.to_owned(), source })?;
    Ok(Entry::Link { target })
}

fn hash(path: &Path) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let size = io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok((Digest(*hasher.finalize().as_bytes()), size))
}

/// In order of names, so that the same folder always fails at the same file.
fn sorted_entries(folder: &Path) -> Result<Vec<DirEntry>, Error> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(io_error("list", folder))?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
