//! Folders that commands worked in, reached without a link: whoever wrote there could have put one to any folder of the host,
//! which Tandem reads with more rights than the command had.
//!
//! Looked at part by part, which is enough because nothing of a command runs any more once it has ended.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use super::{Call, Workshop};
use crate::Error;
use crate::error::io_error;
use crate::recipe::APP;

/// A folder below another that is reached without a link; none otherwise.
pub(crate) fn real_folder(base: &Path, below: &str) -> Option<PathBuf> {
    let mut path = base.to_owned();
    for part in below.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return None;
        }
        path.push(part);
        if !fs::symlink_metadata(&path).ok()?.is_dir() {
            return None;
        }
    }
    Some(path)
}

/// Refuses what is no folder, a link to one above all; `what` left it there.
///
/// # Errors
/// It is something else, or nothing is there.
pub(crate) fn ensure_real(what: &'static str, path: &Path) -> Result<(), Error> {
    let metadata = fs::symlink_metadata(path).map_err(io_error("look at", path))?;
    if metadata.is_dir() { Ok(()) } else { Err(Error::NoFolder { what, path: path.to_owned() }) }
}

impl Workshop {
    /// What is mounted below the app is mounted on real folders. The sandbox mounts behind no link either, but its refusal
    /// reads as a failure of the server's.
    ///
    /// # Errors
    /// See [`ensure_real`].
    pub(super) fn ensure_mount_points(&self, call: &Call) -> Result<(), Error> {
        if self.is_plain() {
            return Ok(());
        }
        let targets = call.mounts.iter().filter_map(|mount| mount.target.strip_prefix(APP).ok()?.to_str());
        for below in targets.filter(|below| !below.is_empty()) {
            self.folder_in_app("an earlier command", below)?;
        }
        Ok(())
    }

    /// A folder of the app that was laid out, made for the build's user where nothing is there, with what is above it.
    ///
    /// # Errors
    /// `what` left something else in its place or above it: see [`ensure_real`].
    pub(crate) fn folder_in_app(&self, what: &'static str, below: &str) -> Result<PathBuf, Error> {
        let mut path = self.work("app");
        for part in below.split('/').filter(|part| !part.is_empty() && *part != ".") {
            path.push(part);
            if part == ".." {
                return Err(Error::NoFolder { what, path });
            }
            match fs::create_dir(&path) {
                Ok(()) => {
                    if let Some(owner) = self.owner() {
                        lchown(&path, Some(owner), Some(owner)).map_err(io_error("give away", &path))?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => ensure_real(what, &path)?,
                Err(error) => return Err(io_error("make", &path)(error)),
            }
        }
        Ok(path)
    }
}

#[cfg(test)]
impl Workshop {
    /// One without a sandbox; what was in its folder before is gone.
    pub(crate) fn plain(data: &tandem_kit::paths::DataDir) -> Self {
        let options = super::Options {
            data,
            app: &"shop".parse().expect("it is a name"),
            isolation: tandem_types::instance::Isolation::Plain,
            uid: tandem_types::defaults::FIRST_UID,
            network: &crate::NetworkSettings::default(),
            clock: &tandem_kit::clock::Clock::system(),
            limit: tandem_types::Span::minutes(1),
            limits: &tandem_sandbox::Limits::default(),
        };
        Self::open(&options).expect("the folder is there")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tandem_blobs::{BlobStore, ingest, ingest_folder};
    use tandem_kit::paths::DataDir;

    use super::*;
    use crate::{static_files, survey};

    #[test]
    fn no_walk_begins_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path().join("blobs")).unwrap();
        let shop = Workshop::plain(&DataDir::open(&folder.path().join("data")).unwrap());
        let (app, secret) = (shop.work("app"), folder.path().join("secret"));
        fs::create_dir_all(app.join("real/below")).unwrap();
        fs::create_dir_all(secret.join("below")).unwrap();
        symlink(&secret, app.join("link")).unwrap();
        fs::File::create(app.join("file")).unwrap();
        assert_eq!(real_folder(&app, "real/below"), Some(app.join("real/below")));
        assert_eq!(shop.folder_in_app("x", "real/below/new").unwrap(), app.join("real/below/new"));
        for below in ["link", "link/below", "file", "file/x", "real/../link", ".."] {
            assert_eq!(real_folder(&app, below), None, "{below}");
            let made = shop.folder_in_app("x", below);
            assert!(matches!(made, Err(Error::NoFolder { .. })), "{below}: {made:?}");
        }
        let link = app.join("link");
        assert!(matches!(survey::check("x", &link), Err(Error::NoFolder { .. })));
        assert!(matches!(shop.owned_folder(&link), Err(Error::NoFolder { .. })));
        let kept = ingest_folder(&link, &store, &ingest::Rules::default());
        assert!(matches!(kept, Err(ingest::Error::Unfit { .. })), "{kept:?}");
    }

    #[test]
    fn what_was_collected_is_put_in_place_of_a_link_and_never_behind_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path().join("blobs")).unwrap();
        let shop = Workshop::plain(&DataDir::open(&folder.path().join("data")).unwrap());
        let (app, secret) = (shop.work("app"), folder.path().join("secret"));
        fs::create_dir_all(secret.join("static")).unwrap();
        fs::File::create(secret.join("static/key")).unwrap();
        fs::create_dir_all(&app).unwrap();
        symlink(secret.join("static"), app.join("static")).unwrap();
        symlink(&secret, app.join("link")).unwrap();
        let tree = ingest_folder(&secret.join("static"), &store, &ingest::Rules::default()).unwrap().digest;
        let collected = |folder: &str| static_files::Collected::Files {
            tree,
            files: 1,
            bytes: 0,
            folder: folder.to_owned(),
            prefix: None,
            debug: false,
            missing: Vec::new(),
            places: crate::data::Places::default(),
        };
        static_files::lay_out(&shop, &store, &collected("static")).unwrap();
        assert!(real_folder(&app, "static").is_some() && app.join("static/key").exists());
        let behind = static_files::lay_out(&shop, &store, &collected("link/static"));
        assert!(matches!(behind, Err(Error::NoFolder { .. })), "{behind:?}");
        assert!(secret.join("static/key").exists(), "nothing of the host was removed");
    }
}
