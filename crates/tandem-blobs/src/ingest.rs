//! A folder that a build made becomes a tree in the store.
//!
//! Nothing is left out but what the caller names: these folders come from Tandem's own commands, not from people. The
//! rules for source folders are in [`crate::scan`].

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

use crate::store::{self, BlobStore, TreeSummary};
use crate::{links, tree};

/// Why a folder did not become a tree.
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
    /// The store refused a blob.
    #[error("keep {}", path.display())]
    Store {
        /// Of which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// A symbolic link that must not be.
    #[error("keep the link {}", path.display())]
    Link {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: links::Refusal,
    },
    /// A name that is not UTF-8, or a file that is no file: a socket, a device.
    #[error("keep {}: {reason}", path.display())]
    Unfit {
        /// Where it is.
        path: PathBuf,
        /// Why it cannot be kept.
        reason: &'static str,
    },
}

/// What is kept of a folder.
#[derive(Default)]
pub struct Rules<'a> {
    /// The only target outside of the folder that a symbolic link may have.
    pub interpreter: Option<&'a str>,
    /// Says which paths (below the folder) are left out, folders with all that is in them.
    pub leave_out: Option<&'a dyn Fn(&Path) -> bool>,
}

/// Keeps a folder's files and listings in the store; what is there already costs one look. Not synced: see
/// [`BlobStore::sync`].
///
/// # Errors
/// See [`Error`]; a link in the folder's own place is one, too. What was kept until then is swept later.
pub fn ingest_folder(folder: &Path, store: &BlobStore, rules: &Rules<'_>) -> Result<TreeSummary, Error> {
    if !fs::symlink_metadata(folder).map_err(io_error("look at", folder))?.is_dir() {
        return Err(unfit(folder, "it is no folder"));
    }
    let root = Ingest { store, rules }.folder(folder, Path::new(""), 0)?;
    store.summary(&root).map_err(|source| Error::Store { path: folder.to_owned(), source })
}

struct Ingest<'a> {
    store: &'a BlobStore,
    rules: &'a Rules<'a>,
}

impl Ingest<'_> {
    fn folder(&self, folder: &Path, below: &Path, depth: usize) -> Result<Digest, Error> {
        if depth > tree::MAX_DEPTH {
            return Err(unfit(folder, "the folder is too deep"));
        }
        let mut tree = Tree::default();
        for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
            let entry = entry.map_err(io_error("list", folder))?;
            let (path, below) = (entry.path(), below.join(entry.file_name()));
            if self.rules.leave_out.is_some_and(|leave_out| leave_out(&below)) {
                continue;
            }
            let name = entry.file_name().into_string().map_err(|_| unfit(&path, "its name is not UTF-8"))?;
            let file_type = entry.file_type().map_err(io_error("look at", &path))?;
            let kept = if file_type.is_dir() {
                Entry::Folder { digest: self.folder(&path, &below, depth + 1)? }
            } else if file_type.is_symlink() {
                self.link(&path, depth)?
            } else if file_type.is_file() {
                self.file(&path)?
            } else {
                return Err(unfit(&path, "it is neither a file nor a folder nor a link"));
            };
            tree.entries.insert(name, kept);
        }
        self.store.put_tree(&tree).map_err(|source| Error::Store { path: folder.to_owned(), source })
    }

    fn file(&self, path: &Path) -> Result<Entry, Error> {
        let mode = fs::symlink_metadata(path).map_err(io_error("look at", path))?.permissions().mode();
        let kept = self.store.put_file(path);
        let (digest, size) = kept.map_err(|source| Error::Store { path: path.to_owned(), source })?;
        Ok(Entry::File { digest, size, executable: mode & 0o100 != 0 })
    }

    fn link(&self, path: &Path, depth: usize) -> Result<Entry, Error> {
        let target = fs::read_link(path).map_err(io_error("read the link", path))?;
        let target = target.into_os_string().into_string();
        let target = target.map_err(|_| unfit(path, "its target is not UTF-8"))?;
        links::check(depth, &target, self.rules.interpreter)
            .map_err(|source| Error::Link { path: path.to_owned(), source })?;
        Ok(Entry::Link { target })
    }
}

fn unfit(path: &Path, reason: &'static str) -> Error {
    Error::Unfit { path: path.to_owned(), reason }
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
