//! Removing blobs that no checkout links to.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tandem_types::{Digest, Timestamp};

use super::{Error, LinkCache, io_error};
use crate::aside::is_unique_name;
use crate::store::BlobKind;
use crate::tree::MAX_ENTRIES;

/// What a sweep leaves although no checkout links to it.
#[derive(Debug, Clone, Copy)]
pub struct Spare<'a> {
    /// Trees that are likely to be checked out again.
    pub roots: &'a [Digest],
    /// What is below those stays where it was used since then.
    pub roots_since: Timestamp,
    /// Everything that was used since then stays: a checkout may be under way.
    pub since: Timestamp,
}

/// What a sweep did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// Files removed.
    pub files: u64,
    /// Files that nobody here made, which were left alone; some of them.
    pub strangers: Vec<PathBuf>,
}

/// Most strangers told.
const MOST_STRANGERS: usize = 10;

impl LinkCache {
    /// Removes files that no checkout links to and that are not spared. Trees that are checked out are untouched; what is
    /// needed again is fetched again. Others may write, check out and sweep meanwhile.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sweep(&self, spare: &Spare<'_>) -> Result<Swept, Error> {
        let spare = (spare, &self.below(spare.roots));
        let mut swept = Swept::default();
        for folder in entries(&self.directory)? {
            let prefix = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if !(prefix == "aside" || prefix.len() == 2) || !folder.is_dir() {
                swept.note_stranger(folder);
                continue;
            }
            for file in entries(&folder)? {
                look_at(file, &prefix, spare, &mut swept)?;
            }
        }
        Ok(swept)
    }

    /// What is below the roots, as far as it is here.
    fn below(&self, roots: &[Digest]) -> HashSet<Digest> {
        let mut below = HashSet::new();
        let mut waiting = roots.to_vec();
        while let Some(folder) = waiting.pop() {
            if !below.insert(folder) || below.len() as u64 > MAX_ENTRIES {
                continue;
            }
            let Ok(listing) = self.read_tree(&folder) else { continue };
            for (digest, kind) in crate::store::children(&listing) {
                match kind {
                    BlobKind::Folder => waiting.push(digest),
                    BlobKind::File => drop(below.insert(digest)),
                }
            }
        }
        below
    }
}

/// Removes a file that is ours and not spared.
fn look_at(
    file: PathBuf,
    prefix: &str,
    (spare, spared): (&Spare<'_>, &HashSet<Digest>),
    swept: &mut Swept,
) -> Result<(), Error> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digest: Option<Digest> = format!("{prefix}{}", name.strip_suffix(".x").unwrap_or(name)).parse().ok();
    if digest.is_none() && !(prefix == "aside" && is_unique_name(name)) {
        swept.note_stranger(file);
        return Ok(());
    }
    let metadata = match fs::symlink_metadata(&file) {
        // Written aside, and named since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(io_error("look at", &file))?,
    };
    let is_spared = digest.is_some_and(|digest| spared.contains(&digest));
    let keep_since = if is_spared { spare.roots_since.min(spare.since) } else { spare.since };
    // The time of change also moves when a link to it is made or removed.
    let last_use = metadata.atime().max(metadata.ctime());
    if metadata.nlink() > 1 || last_use >= keep_since.as_second() {
        return Ok(());
    }
    match fs::remove_file(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => {
            swept.files += 1;
            removed.map_err(io_error("remove", &file))
        }
    }
}

impl Swept {
    fn note_stranger(&mut self, path: PathBuf) {
        if self.strangers.len() < MOST_STRANGERS {
            self.strangers.push(path);
        }
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(io_error("list", folder))
}
