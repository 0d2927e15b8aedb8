//! Another content for a volume: made beside it, on the disk before it counts, and put in its place in one step.
//!
//! ```text
//! DATA/volumes/<app>.<env>/.incoming-<name>   being unpacked; removed by the next archive for the volume
//! DATA/volumes/<app>.<env>/.before-<name>     what was in the volume before the last import
//! DATA/volumes/<app>.<env>/.gone-<name>       what was there before that; being removed
//! ```
//!
//! The new folder first takes the name of what is kept, and then the two are exchanged by the kernel. So at each moment the
//! volume is whole, either the old or the new one, and what was in it is never without a name.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::{Uid, syncfs};
use tandem_kit::files;
use tandem_types::Timestamp;

use super::{Error, Note, Step, Volumes, Wanted, decide, give, look, quoted, refused};

/// Beginning of the name of a folder that is being unpacked.
const INCOMING: &str = ".incoming-";
/// Beginning of the name of what was in a volume before.
pub(super) const BEFORE: &str = ".before-";

/// Beginning of the name of what was kept of the import before the last one, while it is removed.
const GONE: &str = ".gone-";

/// Where the content of a volume is, is made and is kept.
struct Places {
    volume: PathBuf,
    incoming: PathBuf,
    before: PathBuf,
    gone: PathBuf,
}

impl Volumes {
    /// The folder of a volume that is there; none where there is none.
    pub(crate) fn existing(&self, wanted: Wanted<'_>) -> Option<PathBuf> {
        let folder = self.root.join(wanted.place.to_string()).join(wanted.name);
        std::fs::canonicalize(folder).ok().filter(|folder| folder.is_dir())
    }

    /// Whether it is there, or was.
    pub(crate) fn is_known(&self, wanted: Wanted<'_>) -> bool {
        let notes = self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let noted = notes.get(&format!("{}/{}", wanted.place, wanted.name));
        noted.is_some_and(|note| note.uid == wanted.uid) || self.existing(wanted).is_some()
    }

    /// An empty folder of the app's for what is to become the volume. What another import left there is gone.
    ///
    /// # Errors
    /// The volume is another app's or has a disk of its own, or the disk refuses.
    pub(crate) fn begin_import(&self, wanted: Wanted<'_>) -> Result<PathBuf, Error> {
        let places = self.places(wanted)?;
        let failed = |source| Error::Prepare { name: wanted.name.to_owned(), source };
        self.check(wanted, &places)?;
        make_empty(&places.incoming, wanted.uid).map_err(failed)?;
        Ok(places.incoming)
    }

    /// Removes what an import began.
    pub(crate) fn give_up_import(&self, wanted: Wanted<'_>) {
        if let Ok(places) = self.places(wanted)
            && let Err(error) = ensure_gone(&places.incoming)
        {
            tracing::warn!("could not remove {}: {error}", places.incoming.display());
        }
    }

    /// What takes its time and needs no process to be ended: the new content is on the disk on return.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn settle_import(&self, wanted: Wanted<'_>) -> Result<(), Error> {
        let places = self.places(wanted)?;
        let settle = || {
            syncfs(File::open(&places.incoming)?)?;
            ensure_gone(&places.gone)
        };
        settle().map_err(|source| Error::Prepare { name: wanted.name.to_owned(), source })
    }

    /// Puts the new content in the volume's place, which nothing may use just then. Returns where the old one is kept, if
    /// there was one.
    ///
    /// # Errors
    /// The volume is not the app's any more, or the disk refuses; it is as it was then.
    pub(crate) fn finish_import(&self, wanted: Wanted<'_>, now: Timestamp) -> Result<Option<PathBuf>, Error> {
        let places = self.places(wanted)?;
        let failed = |source| Error::Prepare { name: wanted.name.to_owned(), source };
        let mut notes = self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = exchange(&places).map_err(failed)?;
        let key = format!("{}/{}", wanted.place, wanted.name);
        let note = Note { uid: wanted.uid, since: now, own_disk: Some(false) };
        self.note(&mut notes, key, note)
            .map_err(|source| Error::Note { name: wanted.name.to_owned(), source })?;
        Ok(before)
    }

    /// Removes what the import before the last one kept, which takes its time as well. What is not removed is by the next import.
    pub(crate) fn clear_import(&self, wanted: Wanted<'_>) {
        if let Ok(places) = self.places(wanted)
            && let Err(error) = ensure_gone(&places.gone)
        {
            tracing::warn!("could not remove {}: {error}", places.gone.display());
        }
    }

    /// Behind a link that a person made to a larger disk, everything is beside the folder that it leads to.
    fn places(&self, wanted: Wanted<'_>) -> Result<Places, Error> {
        let named = self.root.join(wanted.place.to_string()).join(wanted.name);
        let is_link = std::fs::symlink_metadata(&named).is_ok_and(|about| about.is_symlink());
        let led = is_link.then(|| std::fs::canonicalize(&named)).transpose();
        let volume =
            led.map_err(|source| Error::Prepare { name: wanted.name.to_owned(), source })?.unwrap_or(named);
        let beside = |start: &str| volume.with_file_name(format!("{start}{}", wanted.name));
        Ok(Places { incoming: beside(INCOMING), before: beside(BEFORE), gone: beside(GONE), volume })
    }

    fn check(&self, wanted: Wanted<'_>, places: &Places) -> Result<(), Error> {
        let failed = |source| Error::Prepare { name: wanted.name.to_owned(), source };
        let parent = places.volume.parent().unwrap_or(&self.root);
        files::ensure_dir(parent, 0o700).map_err(|error| failed(io::Error::other(error)))?;
        let found = look(&places.volume, &self.root).map_err(failed)?;
        let key = format!("{}/{}", wanted.place, wanted.name);
        let as_root = Uid::effective().is_root();
        let notes = self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let noted = notes.get(&key).filter(|note| note.uid == wanted.uid);
        let since = noted.map_or(Timestamp::UNIX_EPOCH, |note| note.since);
        let step = decide(found, noted, wanted.uid, as_root);
        // One that is lost is just what an import brings back.
        if !matches!(step, Step::Lost)
            && let Some(error) = refused(step, wanted, (&places.volume, as_root), since)
        {
            return Err(error);
        }
        let disk = |path: &Path| std::fs::metadata(path).map(|about| about.dev());
        if found.is_some() && disk(&places.volume).map_err(failed)? != disk(parent).map_err(failed)? {
            let path = quoted(&places.volume);
            return Err(Error::OwnDisk { name: wanted.name.to_owned(), path });
        }
        Ok(())
    }
}

fn make_empty(folder: &Path, uid: u32) -> io::Result<()> {
    ensure_gone(folder)?;
    files::ensure_dir(folder, 0o700).map_err(io::Error::other)?;
    if Uid::effective().is_root() { give(folder, uid) } else { Ok(()) }
}

fn ensure_gone(folder: &Path) -> io::Result<()> {
    match tandem_kit::files::remove_tree(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn put_aside(before: &Path, gone: &Path) -> io::Result<()> {
    match std::fs::rename(before, gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn exchange(places: &Places) -> io::Result<Option<PathBuf>> {
    let Places { volume, incoming, before, gone } = places;
    let parent = volume.parent().unwrap_or(Path::new("/"));
    let kept = if volume.is_dir() {
        // Only now: until here an import may end in "nothing was changed", and then this is not either.
        put_aside(before, gone)?;
        let exchanged = std::fs::rename(incoming, before).and_then(|()| {
            Ok(renameat2(AT_FDCWD, before, AT_FDCWD, volume, RenameFlags::RENAME_EXCHANGE)
                .inspect_err(|_| drop(std::fs::rename(before, incoming)))?)
        });
        exchanged.inspect_err(|_| drop(std::fs::rename(gone, before)))?;
        Some(before.clone())
    } else {
        std::fs::rename(incoming, volume)?;
        None
    };
    files::sync_dir(parent).map_err(io::Error::other)?;
    Ok(kept)
}
