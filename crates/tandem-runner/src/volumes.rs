//! Volumes: the only data of apps that lasts, so a process is never started on the wrong one or without its own.
//!
//! `volumes.json` tells which volumes were made here and for which user. It is on the disk before a volume is first
//! used, and the folder is there before that, so a folder that is noted and gone was lost: a disk that is not
//! mounted, a backup that was put back in part. What then is a person's word to say, as decision 008 has it.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};
use tandem_kit::files;
use tandem_types::Timestamp;

use crate::intent::Place;

/// A volume that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// User of the app that it was made for. User ids are never given twice, so another one is another app.
    uid: u32,
    /// When it was made, or first seen by a runner that takes notes.
    since: Timestamp,
}

/// `<app>.<env>/<name>` → what is noted.
type Notes = BTreeMap<String, Note>;

/// A handle on all volumes of this host, cheap to clone. Its calls block for some small writes at most.
#[derive(Debug, Clone)]
pub(crate) struct Volumes {
    /// Parent of all.
    root: PathBuf,
    /// `volumes.json`.
    path: PathBuf,
    notes: Arc<Mutex<Notes>>,
}

/// Which volume is wanted, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Its environment.
    pub(crate) place: &'a Place,
    /// Its name.
    pub(crate) name: &'a str,
    /// User of the process.
    pub(crate) uid: u32,
}

/// Why a volume cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It was there once.
    #[error(
        "find the volume {name}: it has been here since {since:.0}, and its folder is gone; put the folder back, or begin with an empty one: mkdir -p -m 700 {path}"
    )]
    Lost {
        /// Its name.
        name: String,
        /// Since when it was there.
        since: Timestamp,
        /// Its folder, quoted for a shell.
        path: String,
    },
    /// It was made for somebody else.
    #[error(
        "use the volume {name}: its folder belongs to user {owner}, an earlier app of this name most likely; to give its data to this one: chown -Rh {uid}:{uid} {path}; to begin with an empty one: mv {path} {path}.{owner}"
    )]
    Foreign {
        /// Its name.
        name: String,
        /// Whose it is.
        owner: u32,
        /// Whose it would have to be.
        uid: u32,
        /// Its folder, quoted for a shell.
        path: String,
    },
    /// Its folder.
    #[error("prepare the volume {name}")]
    Prepare {
        /// Its name.
        name: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The note.
    #[error("write down that the volume {name} was made")]
    Note {
        /// Its name.
        name: String,
        /// What the disk said.
        #[source]
        source: files::Error,
    },
}

impl Volumes {
    /// Reads what was noted; the parent of all volumes is made where it is missing.
    ///
    /// # Errors
    /// A folder cannot be made, or the notes not be read.
    pub(crate) fn open(root: PathBuf, path: PathBuf) -> Result<Self, files::Error> {
        files::ensure_dir(&root, 0o700)?;
        let notes = files::read_json(&path)?.unwrap_or_default();
        Ok(Self { root, path, notes: Arc::new(Mutex::new(notes)) })
    }

    /// The folder of a volume, ready for a process of this user. Made, and given to the user, where there never was one.
    /// Its content is the app's and is not looked at.
    ///
    /// # Errors
    /// It is gone, is another app's, or the disk refuses. Asking again after a person has acted is enough.
    pub(crate) fn ready(&self, wanted: Wanted<'_>, now: Timestamp) -> Result<PathBuf, Error> {
        let Wanted { place, name, uid } = wanted;
        let parent = self.root.join(place.to_string());
        let folder = parent.join(name);
        let prepare = |source| Error::Prepare { name: name.to_owned(), source };
        let found = look(&folder).map_err(prepare)?;
        let key = format!("{place}/{name}");
        // Held until the note is written: of two instances that start at once, one makes it.
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = notes.get(&key);
        let as_root = Uid::effective().is_root();
        match decide(found, noted.map(|note| note.uid), uid, as_root) {
            Step::Make => make(&self.root, &folder, as_root.then_some(uid)).map_err(prepare)?,
            Step::Give => give(&folder, uid).map_err(prepare)?,
            Step::Use => {}
            Step::Lost => {
                let since = noted.map_or(now, |note| note.since);
                return Err(Error::Lost { name: name.to_owned(), since, path: quoted(&folder) });
            }
            Step::Foreign { owner } => {
                return Err(Error::Foreign { name: name.to_owned(), owner, uid, path: quoted(&folder) });
            }
        }
        if noted.map(|note| note.uid) != Some(uid) {
            let mut next = notes.clone();
            next.insert(key, Note { uid, since: now });
            files::write_json(&self.path, &next, 0o600)
                .map_err(|source| Error::Note { name: name.to_owned(), source })?;
            *notes = next;
        }
        Ok(folder)
    }
}

/// What to do about a volume.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// There never was one for this app.
    Make,
    /// It is there and has no user yet: made by hand, or by a runner that was killed right after.
    Give,
    /// It is there and this user's.
    Use,
    /// It was there.
    Lost,
    /// It is there and another user's.
    Foreign { owner: u32 },
}

/// `found`: owner of the folder; `noted`: user it was made for. Without root all is one user's, who can tell no app
/// from another.
fn decide(found: Option<u32>, noted: Option<u32>, uid: u32, as_root: bool) -> Step {
    match found {
        None if noted == Some(uid) => Step::Lost,
        None => Step::Make,
        Some(owner) if owner == uid || !as_root => Step::Use,
        Some(0) => Step::Give,
        Some(owner) => Step::Foreign { owner },
    }
}

/// The owner of a folder, none where it is not there. A link that a person put in its place, to a larger disk, is
/// followed: nobody else can make one there.
fn look(folder: &Path) -> std::io::Result<Option<u32>> {
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(Some(metadata.uid())),
        Ok(_) => Err(std::io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// On return the folder is on the disk, so that no note outlives it.
fn make(root: &Path, folder: &Path, user: Option<u32>) -> std::io::Result<()> {
    let parent = folder.parent().unwrap_or(root);
    files::ensure_dir(parent, 0o700)?;
    files::ensure_dir(folder, 0o700)?;
    if let Some(uid) = user {
        give(folder, uid)?;
    }
    for changed in [folder, parent, root] {
        files::sync_dir(changed)?;
    }
    Ok(())
}

/// The folder alone: what is in it was put there by a person, as they wanted it.
fn give(folder: &Path, uid: u32) -> std::io::Result<()> {
    chown(folder, Some(uid), Some(uid))
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
