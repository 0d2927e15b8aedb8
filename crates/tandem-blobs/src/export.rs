//! A tree as ordinary files that may be changed: what a build command works on.
//!
//! Unlike a checkout nothing is shared with the store, so whatever a command does to the files stays in the folder.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use tandem_types::Digest;
use tandem_types::tree::{Entry, Tree};

use crate::store::{self, BlobStore};
use crate::{links, tree};

/// Why a tree was not exported.
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
    /// A blob is missing or damaged.
    #[error("export to {}", path.display())]
    Store {
        /// Where to.
        path: PathBuf,
        /// Why not.
        #[source]
        source: store::Error,
    },
    /// A symbolic link that must not be.
    #[error("export the link {}", path.display())]
    Link {
        /// Where to.
        path: PathBuf,
        /// Why not.
        #[source]
        source: links::Refusal,
    },
}

/// How to export.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// User and group that everything is given to; none: as created.
    pub owner: Option<u32>,
    /// The only target outside of the tree that a symbolic link may have.
    pub interpreter: Option<&'a str>,
}

/// Writes a tree to a folder that is not there yet. On failure, part of it may be there.
///
/// # Errors
/// See [`Error`].
pub fn export(store: &BlobStore, root: &Digest, folder: &Path, options: Options<'_>) -> Result<(), Error> {
    store.summary(root).map_err(|source| Error::Store { path: folder.to_owned(), source })?;
    Export { store, options }.folder(root, folder, 0)
}

/// Writes some files of a store below a folder, each with the folders above it.
///
/// # Errors
/// See [`Error`].
pub fn export_files<'f>(
    store: &BlobStore,
    files: impl IntoIterator<Item = (&'f str, Digest)>,
    folder: &Path,
    owner: Option<u32>,
) -> Result<(), Error> {
    let export = Export { store, options: Options { owner, interpreter: None } };
    for (path, digest) in files {
        let to = folder.join(path);
        let parent = to.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).map_err(io_error("make the folder", parent))?;
        export.file(&digest, &to, false)?;
    }
    Ok(())
}

struct Export<'a> {
    store: &'a BlobStore,
    options: Options<'a>,
}

impl Export<'_> {
    fn folder(&self, digest: &Digest, to: &Path, depth: usize) -> Result<(), Error> {
        debug_assert!(depth <= tree::MAX_DEPTH, "the summary has refused deeper trees");
        let listing: Tree = self.store.read_tree(digest).map_err(store_error(to))?;
        fs::create_dir(to).map_err(io_error("make the folder", to))?;
        self.own(to)?;
        for (name, entry) in &listing.entries {
            let to = to.join(name);
            match entry {
                Entry::Folder { digest } => self.folder(digest, &to, depth + 1)?,
                Entry::File { digest, executable, .. } => self.file(digest, &to, *executable)?,
                Entry::Link { target } => self.link(target, &to, depth)?,
            }
        }
        Ok(())
    }

    fn file(&self, digest: &Digest, to: &Path, executable: bool) -> Result<(), Error> {
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = File::create_new(to).map_err(io_error("write", to))?;
        self.store.copy_to(digest, &mut file).map_err(store_error(to))?;
        file.set_permissions(Permissions::from_mode(mode)).map_err(io_error("write", to))?;
        self.own(to)
    }

    fn link(&self, target: &str, to: &Path, depth: usize) -> Result<(), Error> {
        links::check(depth, target, self.options.interpreter)
            .map_err(|source| Error::Link { path: to.to_owned(), source })?;
        symlink(target, to).map_err(io_error("link", to))?;
        match self.options.owner {
            Some(owner) => lchown(to, Some(owner), Some(owner)).map_err(io_error("give away", to)),
            None => Ok(()),
        }
    }

    fn own(&self, path: &Path) -> Result<(), Error> {
        match self.options.owner {
            Some(owner) => chown(path, Some(owner), Some(owner)).map_err(io_error("give away", path)),
            None => Ok(()),
        }
    }
}

fn store_error<'a>(path: &'a Path) -> impl FnOnce(store::Error) -> Error + 'a {
    move |source| Error::Store { path: path.to_owned(), source }
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{Rules, ingest_folder};

    #[test]
    fn an_export_can_be_changed_without_changing_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path().join("blobs")).unwrap();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("sub")).unwrap();
        io::Write::write_all(&mut File::create(source.join("sub/tool")).unwrap(), b"#!/bin/sh\n").unwrap();
        fs::set_permissions(source.join("sub/tool"), Permissions::from_mode(0o755)).unwrap();
        symlink("sub/tool", source.join("link")).unwrap();
        let root = ingest_folder(&source, &store, &Rules::default()).unwrap().digest;

        let out = folder.path().join("out");
        export(&store, &root, &out, Options::default()).unwrap();
        assert_eq!(fs::metadata(out.join("sub/tool")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("sub/tool"));
        assert_eq!(ingest_folder(&out, &store, &Rules::default()).unwrap().digest, root);
        io::Write::write_all(&mut File::create(out.join("sub/tool")).unwrap(), b"changed").unwrap();
        export(&store, &root, &folder.path().join("again"), Options::default()).unwrap();
        assert!(
            export(&store, &root, &out, Options::default()).is_err(),
            "a folder that is there is not mixed"
        );
    }
}
