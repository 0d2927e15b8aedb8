//! Where everything lies under a data folder, and the short runtime folder beside it.
//!
//! The layout is that of decision 001. Sockets are apart from the data, since a unix socket's path ends at
//! 107 bytes and a data folder's may be longer.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::{env, files, stamp};

/// Longest parent of the runtime folder that leaves room for `xxxxxxxx/s/i18446744073709551615.sock` in 107 bytes.
const LONGEST_PARENT: usize = 60;

/// Where sandboxed commands see [`DataDir::pythons`]: the same path on every machine, wherever its data folder is, since the
/// dependencies of a build hold links to it.
pub const PYTHONS: &str = "/opt/tandem/python";

/// Where sandboxed commands see [`DataDir::nodes`].
pub const NODES: &str = "/opt/tandem/node";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder cannot be created, entered or given its mode.
    #[error("open the data folder {}", root.display())]
    Open {
        /// The data folder.
        root: PathBuf,
        /// The step that failed.
        #[source]
        source: io::Error,
    },
    /// It has files that are not Tandem's, for others to read: to close it would lock them out.
    #[error("use {} as the data folder: it holds files of others and is open to them", root.display())]
    Shared {
        /// The folder.
        root: PathBuf,
    },
    /// A newer version wrote it, or nobody can tell.
    #[error(transparent)]
    Stamp(#[from] stamp::Error),
    /// Somebody else made the runtime folder first; sockets in it could be theirs.
    #[error("use the runtime folder {}: it belongs to another user ({owner})", path.display())]
    Foreign {
        /// The runtime folder.
        path: PathBuf,
        /// Its owner's uid.
        owner: u32,
    },
}

/// The data folder of all roles: `/var/lib/tandem` for root, else `$XDG_DATA_HOME/tandem`
/// or `~/.local/share/tandem`. [`crate::env::TANDEM_DATA`] and `--data` are the caller's to heed.
#[must_use]
pub fn default_data_dir() -> PathBuf {
    if Uid::effective().is_root() {
        return PathBuf::from("/var/lib/tandem");
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute(env::HOME).unwrap_or_else(|| PathBuf::from("/")).join(".local/share");
    absolute(env::XDG_DATA_HOME).unwrap_or_else(home).join("tandem")
}

/// The link to the API's socket in a data folder that need not be there: all a client has to know of it.
#[must_use]
pub fn socket_link(root: &Path) -> PathBuf {
    root.join("socket")
}

/// The API's socket in a runtime folder.
#[must_use]
pub fn socket_in(runtime: &Path) -> PathBuf {
    runtime.join("api.sock")
}

/// A data folder and its runtime folder, both there and closed to other users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
    runtime: PathBuf,
    /// Eight hexadecimal digits that tell this data folder from others of this machine.
    short: String,
}

impl DataDir {
    /// Opens a data folder, creating it and its runtime folder (0700) where they are not there.
    ///
    /// # Errors
    /// A folder cannot be created, the runtime folder is another user's, a newer version wrote the data folder, or it is no
    /// folder of Tandem's: `--data /tmp` must not close `/tmp`.
    pub fn open(root: &Path) -> Result<Self, Error> {
        stamp::check(root)?;
        Self::open_any(root)
    }

    /// As [`Self::open`], and a newer version's folder too: for whoever puts an older store back.
    ///
    /// # Errors
    /// As [`Self::open`], without a look at the version.
    pub fn open_any(root: &Path) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Open { root: root.to_owned(), source };
        if is_shared(root).map_err(failed)? {
            return Err(Error::Shared { root: root.to_owned() });
        }
        files::ensure_dir(root, 0o700).map_err(|error| failed(error.into()))?;
        let root = std::fs::canonicalize(root).map_err(failed)?;
        let short = short_name(&root);
        let parent = runtime_parent();
        let runtime = parent.join(&short);
        for folder in [&parent, &runtime, &runtime.join("s")] {
            own_dir(folder, &root)?;
        }
        Ok(Self { root, runtime, short })
    }

    /// The data folder itself, without links in its path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Lock of the one `tandem up` of this data folder.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The SQLite database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("tandem.sqlite3")
    }

    /// Folder of keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Symbolic link to the API's socket.
    #[must_use]
    pub fn socket_link(&self) -> PathBuf {
        socket_link(&self.root)
    }

    /// Folder of the server's blob store.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Folder of the rollouts' event logs.
    #[must_use]
    pub fn rollouts(&self) -> PathBuf {
        self.root.join("rollouts")
    }

    /// Folder of the builder's caches.
    #[must_use]
    pub fn build(&self) -> PathBuf {
        self.root.join("build")
    }

    /// Folder of tools that Tandem installed for itself.
    #[must_use]
    pub fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// Interpreters that are not the machine's own, a folder each: `NAME/bin/python3.12`. Apps see it as [`PYTHONS`].
    #[must_use]
    pub fn pythons(&self) -> PathBuf {
        self.tools().join("python")
    }

    /// Node in versions that the machine itself does not have, a folder each: `NAME/bin/node`. Apps see it as [`NODES`].
    #[must_use]
    pub fn nodes(&self) -> PathBuf {
        self.tools().join("node")
    }

    /// Folder of the runner.
    #[must_use]
    pub fn runner(&self) -> PathBuf {
        self.root.join("runner")
    }

    /// Folder of the apps' persistent data.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Folder of the balancer.
    #[must_use]
    pub fn balancer(&self) -> PathBuf {
        self.root.join("balancer")
    }

    /// The runtime folder: short, 0700, gone after a reboot.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Folder of the shims' sockets in the runtime folder.
    #[must_use]
    pub fn shim_sockets(&self) -> PathBuf {
        self.runtime.join("s")
    }

    /// The API's unix socket.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        socket_in(&self.runtime)
    }

    /// The runner's unix socket.
    #[must_use]
    pub fn runner_socket(&self) -> PathBuf {
        self.runtime.join("runner.sock")
    }

    /// Control group of everything that runs for this data folder, relative to the root of each hierarchy.
    #[must_use]
    pub fn cgroup_name(&self) -> String {
        format!("tandem/{}", self.short)
    }

    /// Removes what killed processes had written aside in these folders themselves; each part does so in its own. `is_ours`
    /// says of a file whether the caller's lock keeps everybody else from writing it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remove_aside(&self, is_ours: impl Fn(&str) -> bool) -> Result<(), files::Error> {
        let folders = [&self.root, &self.keys(), &self.runtime];
        folders.into_iter().try_for_each(|folder| files::remove_aside(folder, &is_ours))
    }

    /// Removes the runtime folder when nothing runs any more, and the link that leads into it; for `tandem down` and
    /// tests.
    ///
    /// # Errors
    /// One of them is there and cannot be removed.
    pub fn remove_runtime(&self) -> Result<(), Error> {
        let link = self.socket_link();
        if std::fs::read_link(&link).is_ok_and(|target| target.starts_with(&self.runtime)) {
            self.removed(std::fs::remove_file(&link))?;
        }
        self.removed(std::fs::remove_dir_all(&self.runtime))
    }

    fn removed(&self, result: io::Result<()>) -> Result<(), Error> {
        match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::Open { root: self.root.clone(), source: error })
            }
            _ => Ok(()),
        }
    }
}

/// Whether others may look into a folder that has something in it, and nothing of Tandem's.
fn is_shared(root: &Path) -> io::Result<bool> {
    let metadata = match std::fs::metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        metadata => metadata?,
    };
    let open = metadata.is_dir() && metadata.mode() & 0o077 != 0;
    Ok(open && !root.join("lock").exists() && std::fs::read_dir(root)?.next().is_some())
}

/// The folder that holds the runtime folders of this user's installations, one each.
#[must_use]
pub fn runtime_parent() -> PathBuf {
    let uid = Uid::effective();
    if uid.is_root() {
        return PathBuf::from("/run/tandem");
    }
    let session = std::env::var_os(env::XDG_RUNTIME_DIR).map(|path| PathBuf::from(path).join("tandem"));
    let usable = |path: &PathBuf| path.is_absolute() && path.as_os_str().len() <= LONGEST_PARENT;
    session.filter(usable).unwrap_or_else(|| PathBuf::from(format!("/tmp/tandem-{uid}")))
}

/// Creates a folder of our own, or takes one that is ours already. In a place that all may write to, another user
/// could have made it first, or put a link there.
fn own_dir(path: &Path, root: &Path) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Open { root: root.to_owned(), source };
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if metadata.uid() != Uid::effective().as_raw() {
            return Err(Error::Foreign { path: path.to_owned(), owner: metadata.uid() });
        }
        if !metadata.is_dir() {
            return Err(failed(io::Error::new(io::ErrorKind::NotADirectory, path.display().to_string())));
        }
    }
    files::ensure_dir(path, 0o700).map_err(|error| failed(error.into()))?;
    let owner = std::fs::symlink_metadata(path).map_err(failed)?.uid();
    if owner == Uid::effective().as_raw() {
        Ok(())
    } else {
        Err(Error::Foreign { path: path.to_owned(), owner })
    }
}

/// Eight digits from the folder's path: FNV-1a of 64 bits (offset 0xcbf29ce484222325, prime 0x100000001b3), both
/// halves folded by exclusive or. Stable for ever, since running instances are found by it; no secret is in it and a
/// clash only means that two data folders share a runtime folder, where the lock on it still tells them apart.
fn short_name(root: &Path) -> String {
    let hash = root.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_short_name_of_a_folder_never_changes() {
        // Computed by hand-written FNV-1a elsewhere; a change would lose running instances at an upgrade.
        assert_eq!(short_name(Path::new("")), "4fd0bfc1");
        assert_eq!(short_name(Path::new("/var/lib/tandem")).len(), 8);
        assert_ne!(short_name(Path::new("/a")), short_name(Path::new("/b")));
    }

    #[test]
    fn a_data_folder_is_closed_to_others_and_its_sockets_have_short_paths() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("d".repeat(120));
        let data = DataDir::open(&long).unwrap();
        let again = DataDir::open(&long.join("../").join("d".repeat(120))).unwrap();
        assert_eq!(data, again, "the path is taken without its detours");
        for closed in [data.root(), data.runtime(), &data.shim_sockets()] {
            let mode = std::fs::metadata(closed).unwrap().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", closed.display());
        }
        let longest = data.shim_sockets().join(format!("i{}.sock", u64::MAX));
        assert!(longest.as_os_str().len() <= 107, "{}", longest.display());
        data.remove_runtime().unwrap();
        data.remove_runtime().unwrap();
    }

    #[test]
    fn a_folder_that_others_use_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let open =
            |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        open(0o755);
        files::write_atomic_unsynced(&folder.path().join("theirs"), b"", 0o644).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Shared { .. }), "{error}");
        assert_eq!(std::fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o755);
        open(0o700);
        let data = DataDir::open(folder.path()).expect("it is closed already");
        files::write_atomic_unsynced(&data.lock(), b"", 0o600).unwrap();
        open(0o755);
        DataDir::open(folder.path())
            .expect("it is Tandem's, and somebody has opened it")
            .remove_runtime()
            .unwrap();
    }

    #[test]
    fn the_link_to_the_socket_goes_with_the_socket_and_no_other_does() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        files::replace_symlink(&data.api_socket(), &data.socket_link()).unwrap();
        data.remove_runtime().unwrap();
        assert!(std::fs::symlink_metadata(data.socket_link()).is_err());
        files::replace_symlink(Path::new("/elsewhere"), &data.socket_link()).unwrap();
        data.remove_runtime().unwrap();
        assert!(std::fs::symlink_metadata(data.socket_link()).is_ok(), "it is not ours");
    }

    #[test]
    fn a_runtime_folder_of_another_user_is_refused() {
        if !Uid::effective().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runtime");
        files::ensure_dir(&path, 0o700).unwrap();
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        let error = own_dir(&path, folder.path()).unwrap_err();
        assert!(matches!(error, Error::Foreign { owner: 65534, .. }), "{error}");
    }
}
