//! What a builder keeps only to be quicker, so that it can be measured and given back: nothing of it is needed by a
//! build that was made.

use std::path::{Path, PathBuf};

use tandem_kit::disk::Measured;
use tandem_kit::tasks;
use tandem_types::{AppName, Digest, Timestamp};

use super::Builder;
use crate::error::io_error;
use crate::installed::Keys;
use crate::node::modules;
use crate::{Error, dependencies, uv_cache};

/// Where the parts of builds are remembered.
const KEYS: [&Keys; 2] = [&dependencies::KEPT, &modules::KEPT];

/// What of an app is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stock {
    /// Dependencies laid out beside the blobs that have them.
    Copies,
    /// uv's cache.
    Downloads,
    /// The bare repository that fetched sources are in.
    Repository,
    /// Keys of dependencies and of Node's packages that earlier builds had, by which their blobs are kept.
    Parts,
}

/// How much of it there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stocked {
    /// Whose.
    pub app: AppName,
    /// What.
    pub stock: Stock,
    /// Bytes on the disk; of parts those of their files, each counted as if nobody else had it.
    pub bytes: u64,
    /// When a build used it last.
    pub last_used: Timestamp,
}

impl Builder {
    /// What is kept only to be quicker. Measures folders: call it now and then.
    pub async fn stock(&self) -> Vec<Stocked> {
        let folder = self.inner.config.data.build();
        tasks::blocking("measure what builds keep", move || list(&folder)).await
    }

    /// Removes it. Says whether it did: not while a build of the app is under way.
    ///
    /// # Errors
    /// The disk refuses.
    pub async fn remove_stock(&self, app: &AppName, stock: Stock) -> Result<bool, Error> {
        let Ok(guard) = self.lock_of(app).try_lock_owned() else { return Ok(false) };
        let folder = self.inner.config.data.build().join(app.as_str());
        let give_back = move || {
            // Held by the work: it goes on where nobody waits for it any more.
            let _guard = guard;
            remove(&folder, stock)
        };
        tasks::blocking("give back what builds keep", give_back).await?;
        Ok(true)
    }
}

fn list(build: &Path) -> Vec<Stocked> {
    let apps = std::fs::read_dir(build).into_iter().flatten().flatten();
    let apps = apps.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    let mut all = Vec::new();
    for (app, folder) in apps {
        let app: AppName = app;
        let repository = repository(&folder);
        for (stock, bytes, last_used) in [
            (Stock::Copies, bytes_of(&copies(&folder)), changed(&copies(&folder))),
            (Stock::Downloads, downloads(&folder), changed(&folder.join("uv"))),
            (Stock::Repository, uv_cache::measured(&repository).bytes, changed(&repository)),
            (Stock::Parts, spare_parts(&folder), parts_used(&folder)),
        ] {
            if bytes > 0 {
                all.push(Stocked { app: app.clone(), stock, bytes, last_used });
            }
        }
    }
    all
}

fn remove(folder: &Path, stock: Stock) -> Result<(), Error> {
    match stock {
        Stock::Copies => remove_copies(folder),
        Stock::Downloads => {
            let downloads = folder.join("uv");
            uv_cache::empty_folder(&downloads)
        }
        Stock::Repository => {
            let repository = repository(folder);
            tandem_kit::files::remove_tree(&repository).map_err(io_error("remove", &repository))
        }
        Stock::Parts => {
            for keys in KEYS {
                keys.forget_spare(folder);
            }
            Ok(())
        }
    }
}

fn spare_parts(folder: &Path) -> u64 {
    KEYS.iter().map(|keys| keys.spare_bytes(folder)).sum()
}

/// Any of them.
fn parts_used(folder: &Path) -> Timestamp {
    KEYS.iter().map(|keys| changed(&folder.join(keys.file))).max().unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What a build wrote so that it cannot be measured is as much as may be; what is not there is none.
fn downloads(folder: &Path) -> u64 {
    let Measured { bytes, missed } = uv_cache::measured(&folder.join("uv"));
    match missed {
        Some(error) if error.kind() != std::io::ErrorKind::NotFound => bytes.max(uv_cache::USUAL_BYTES),
        _ => bytes,
    }
}

/// Those that Tandem laid out: they bear the digest of what they are a copy of.
fn remove_copies(folder: &Path) -> Result<(), Error> {
    for copy in laid_out(&copies(folder)) {
        tandem_kit::files::remove_tree(&copy).map_err(io_error("remove", &copy))?;
    }
    Ok(())
}

fn repository(folder: &Path) -> PathBuf {
    folder.join(crate::git::FOLDER)
}

fn copies(folder: &Path) -> PathBuf {
    folder.join("dependencies")
}

/// Of both kinds of dependencies.
fn laid_out(copies: &Path) -> Vec<PathBuf> {
    let folders = [copies.to_owned(), copies.with_file_name(modules::FOLDERS)];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let is_digest = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.parse::<Digest>().is_ok());
    entries.filter(|entry| is_digest(&entry.file_name())).map(|entry| entry.path()).collect()
}

fn bytes_of(copies: &Path) -> u64 {
    laid_out(copies).iter().map(|copy| uv_cache::measured(copy).bytes).sum()
}

fn changed(path: &Path) -> Timestamp {
    let changed = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    changed.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use tandem_kit::files;

    use super::*;
    use crate::installed::Installed;

    #[test]
    fn of_parts_of_both_kinds_the_last_one_stays() {
        let build = tempfile::tempdir().unwrap();
        let app = build.path().join("shop");
        files::ensure_dir(&app, 0o700).unwrap();
        let digest = |name: &str| tandem_blobs::tree::digest_of(name.as_bytes());
        for keys in KEYS {
            for (name, bytes) in [("old", 3000), ("new", 4000)] {
                let part = Installed { tree: digest(name), files: 1, bytes, packages: 1 };
                keys.remember(&app, digest(keys.file), Installed { tree: digest("x"), ..part });
                keys.remember(&app, digest(name), part);
            }
        }
        let stocked = list(build.path());
        assert_eq!((stocked.len(), stocked[0].stock), (1, Stock::Parts));
        remove(&app, Stock::Parts).unwrap();
        assert_eq!(list(build.path()), []);
        for keys in KEYS {
            assert_eq!(keys.roots(&app), [digest("new")], "{}", keys.file);
        }
    }

    #[test]
    fn what_is_given_back_is_what_was_measured_and_nothing_else() {
        let build = tempfile::tempdir().unwrap();
        let app = build.path().join("shop");
        let copy = app.join("dependencies").join(tandem_blobs::tree::digest_of(b"x").to_string());
        let own = [copy.join("lib.py"), app.join("uv/wheels/a.whl"), app.join("git/objects/pack/a.pack")];
        let theirs =
            [app.join("dependencies/notes/mine"), app.join("static.json"), build.path().join("x y/z")];
        for path in own.iter().chain(&theirs) {
            files::ensure_dir(path.parent().unwrap(), 0o700).unwrap();
            files::write_atomic_unsynced(path, &[7; 5000], 0o600).unwrap();
        }
        let stocked = list(build.path());
        let told: Vec<_> = stocked.iter().map(|stocked| stocked.stock).collect();
        assert_eq!(told, [Stock::Copies, Stock::Downloads, Stock::Repository]);
        assert!(stocked.iter().all(|stocked| stocked.bytes >= 5000), "{stocked:?}");
        for stock in told {
            remove(&app, stock).unwrap();
        }
        assert_eq!(list(build.path()), []);
        assert!(own.iter().all(|path| !path.exists()) && theirs.iter().all(|path| path.exists()));
    }
}
