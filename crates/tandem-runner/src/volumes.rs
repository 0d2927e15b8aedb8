//! Volumes: the only data of apps that lasts, so a process is never started on the wrong one or without its own.
//!
//! `volumes.json` tells which volumes were made here and for which user. It is on the disk before a volume is first
//! used, and the folder is there before that, so a folder that is noted and gone was lost: a disk that is not
//! mounted, a backup that was put back in part. Where the disk is mounted on the volume's own folder, that stays behind,
//! empty, and is told by its disk and its owner. What then is a person's word to say, as decision 008 has it.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt as _, chown, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};
use tandem_kit::files;
use tandem_types::Timestamp;

use crate::intent::Place;

#[cfg(test)]
mod carried;
mod copying;
mod exchange;
mod found;
pub mod pack;
mod unpack;
pub mod worker;

pub(crate) use unpack::{CUT, Unpacked};

/// A volume that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// User of the app that it was made for. User ids are never given twice, so another one is another app.
    uid: u32,
    /// When it was made, or first seen by a runner that takes notes.
    since: Timestamp,
    /// Whether it was on another disk than the parent of all volumes. Not the disk's number: that may be another one after
    /// each boot. None: not known, in notes from before this was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own_disk: Option<bool>,
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
        "find the volume {name}: its folder is gone, which was here since {since:.0}; put it back, or begin with an empty one: `{command}`"
    )]
    Lost {
        /// Its name.
        name: String,
        /// Since when it was there.
        since: Timestamp,
        /// What makes an empty one.
        command: String,
    },
    /// What is there is what a missing disk leaves behind.
    #[error(
        "find the volume {name}: its folder belongs to root, as where its disk is not mounted; mount it, or go on with what is in the folder: `{command}`"
    )]
    Bare {
        /// Its name.
        name: String,
        /// What gives it to the app.
        command: String,
    },
    /// It was made for somebody else.
    #[error(
        "use the volume {name}: it belongs to user {owner}, most likely an earlier app of this name; hand it over: `chown -Rh {uid}:{uid} {path}`, or begin with an empty one: `mv {path} {path}.{owner}`"
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
    /// What is on top of a disk cannot be exchanged in one step.
    #[error(
        "exchange the volume {name}: it has a disk of its own; stop what uses it, and unpack the archive there: `tar -xf ARCHIVE --no-same-owner -C {path}`"
    )]
    OwnDisk {
        /// Its name.
        name: String,
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
        remove_copies(&root);
        Ok(Self { root, path, notes: Arc::new(Mutex::new(notes)) })
    }

    /// The folder of a volume, ready for a process of this user. Made, and given to the user, where there never was one.
    /// Its content is the app's and is not looked at.
    ///
    /// # Errors
    /// It is gone, is another app's, or the disk refuses. Asking again after a person has acted is enough.
    pub(crate) fn ready(&self, wanted: Wanted<'_>, now: Timestamp) -> Result<PathBuf, Error> {
        let Wanted { place, name, uid } = wanted;
        let folder = self.root.join(place.to_string()).join(name);
        let prepare = |source| Error::Prepare { name: name.to_owned(), source };
        let look = || look(&folder, &self.root).map_err(prepare);
        let key = format!("{place}/{name}");
        // Held from the look until the note is written: of two instances that start at once, one makes it, and the other
        // must not find it while it is still root's.
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let found = look()?;
        let noted = notes.get(&key).filter(|note| note.uid == uid).cloned();
        let since = noted.as_ref().map_or(now, |note| note.since);
        let as_root = Uid::effective().is_root();
        let step = decide(found, noted.as_ref(), uid, as_root);
        match step {
            Step::Make => make(&self.root, &folder, as_root.then_some(uid)),
            Step::Give => give(&folder, uid),
            Step::Withdraw => withdraw(&folder, &self.root, uid),
            Step::Use | Step::Lost | Step::Bare | Step::Foreign { .. } => Ok(()),
        }
        .map_err(prepare)?;
        let refusal = refused(step, wanted, (&folder, as_root), since);
        let own_disk = match refusal {
            None => look()?.map(|found| found.own_disk),
            // It has been missed: what is there the next time is what a person wanted.
            Some(_) => noted.and_then(|note| note.own_disk.and(Some(false))),
        };
        if own_disk.is_some() {
            self.note(&mut notes, key, Note { uid, since, own_disk })
                .map_err(|source| Error::Note { name: name.to_owned(), source })?;
        }
        refusal.map_or(Ok(folder), Err)
    }

    /// What the file would hold if it was written now.
    #[cfg(test)]
    pub(crate) fn written(&self) -> String {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_string(&*notes).expect("notes are plain JSON")
    }

    /// Writes a note down where it says something new.
    fn note(&self, notes: &mut Notes, key: String, note: Note) -> Result<(), files::Error> {
        if notes.get(&key) != Some(&note) {
            let mut next = notes.clone();
            next.insert(key, note);
            files::write_json(&self.path, &next, 0o600)?;
            *notes = next;
        }
        Ok(())
    }
}

/// What exports left that were killed together with their runner: as large as a database, and nobody's.
fn remove_copies(root: &Path) {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    for folder in entries(root).flat_map(|place| entries(&place.path())) {
        remove_copy(&folder.path());
    }
}

/// What an export that was killed left in a volume.
pub(crate) fn remove_copy(volume: &Path) {
    if let Err(error) = copying::remove_copy(volume) {
        tracing::warn!("could not remove what an export left: {}", tandem_kit::error::chain(&error));
    }
}

/// What is there in a volume's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    owner: u32,
    /// Whether it is on another disk than the parent of all volumes.
    own_disk: bool,
}

/// What to do about a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There never was one for this app.
    Make,
    /// It is there and has no user yet: made by hand, or by a runner that was killed right after.
    Give,
    /// It is there and this user's.
    Use,
    /// It was there.
    Lost,
    /// It was on a disk of its own, which is missing, and what is behind it is this user's too. That is given to root, so
    /// that it is told from one that a person gave back, and then as the next.
    Withdraw,
    /// It was this user's and is root's.
    Bare,
    /// It is there and another user's.
    Foreign { owner: u32 },
}

/// `noted`: what is noted of this user's. Without root all is one user's, who can tell no app from another, and cannot
/// mount disks.
fn decide(found: Option<Found>, noted: Option<&Note>, uid: u32, as_root: bool) -> Step {
    let Some(Found { owner, own_disk }) = found else {
        return if noted.is_some() { Step::Lost } else { Step::Make };
    };
    let had_own_disk = noted.is_some_and(|note| note.own_disk == Some(true));
    match owner {
        _ if !as_root => Step::Use,
        _ if owner == uid && had_own_disk && !own_disk => Step::Withdraw,
        _ if owner == uid => Step::Use,
        0 if noted.is_some() => Step::Bare,
        0 => Step::Give,
        _ => Step::Foreign { owner },
    }
}

/// Why it cannot be used, with the command that a person types; none where it can.
fn refused(
    step: Step,
    wanted: Wanted<'_>,
    (folder, as_root): (&Path, bool),
    since: Timestamp,
) -> Option<Error> {
    let (name, uid) = (wanted.name.to_owned(), wanted.uid);
    match step {
        Step::Make | Step::Give | Step::Use => None,
        Step::Lost => {
            // A link that leads nowhere: a folder can be made where it leads, not in its place.
            let target =
                std::fs::read_link(folder).map(|target| folder.parent().unwrap_or(folder).join(target));
            let path = quoted(target.as_deref().unwrap_or(folder));
            let give = if as_root { format!(" && chown {uid}:{uid} {path}") } else { String::new() };
            Some(Error::Lost { name, since, command: format!("mkdir -p -m 700 {path}{give}") })
        }
        Step::Withdraw | Step::Bare => {
            Some(Error::Bare { name, command: format!("chown {uid}:{uid} {}", quoted(folder)) })
        }
        Step::Foreign { owner } => Some(Error::Foreign { name, owner, uid, path: quoted(folder) }),
    }
}

/// What is there, none where nothing is. A link that a person put in its place, to a larger disk, is followed: nobody else
/// can make one there.
fn look(folder: &Path, root: &Path) -> std::io::Result<Option<Found>> {
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(Some(found(&metadata, root)?)),
        Ok(_) => Err(std::io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn found(metadata: &Metadata, root: &Path) -> std::io::Result<Found> {
    let own_disk = metadata.dev() != std::fs::metadata(root)?.dev();
    Ok(Found { owner: metadata.uid(), own_disk })
}

/// Gives the folder behind a missing disk to root; the disk's own, where that is mounted just now, stays as it is.
fn withdraw(folder: &Path, root: &Path, uid: u32) -> std::io::Result<()> {
    let opened = File::open(folder)?;
    if found(&opened.metadata()?, root)? == (Found { owner: uid, own_disk: false }) {
        fchown(&opened, Some(0), Some(0))?;
        opened.sync_all()?;
    }
    Ok(())
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
