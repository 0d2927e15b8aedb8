//! Room that is set aside in a data folder for what must be written when the disk is full.
//!
//! The folder `ballast` holds pieces of nothing. Whoever fails to write a small file of Tandem's for want of room removes
//! one and tries again: the records of an instance that is started again, the documents of a rollback. What is large
//! or can be dropped (builds, logs, blobs) never does. The server lays pieces out again once there is room. A data
//! folder on a file system that needs room to remove files (btrfs, when it is full) gains little.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};

use crate::{disk, files};

/// Name of the folder.
const FOLDER: &str = "ballast";
/// Begin of the names of pieces: nothing else is ever removed.
const PIECE: &str = "tandem-ballast-";
/// Size of a piece: some of the files of an instance, or some pages of the store.
const PIECE_BYTES: u64 = 64 * 1024;
/// Most pieces, 16 MiB in all.
const MOST_PIECES: u64 = 256;
/// On small disks all pieces together take this part.
const PART: u64 = 64;
/// Pieces given for one write. Others may take the room first.
const TRIES: usize = 3;

/// Writes, and where there is no room, gives a piece of ballast for it and writes again. `path` is where it is written,
/// below the data folder.
///
/// # Errors
/// As `write`; for want of room only when no ballast is left.
pub fn with_room<T>(path: &Path, mut write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..TRIES {
        match write() {
            Err(error) if is_want_of_room(&error) && give(path) => {}
            result => return result,
        }
    }
    write()
}

/// Whether there is no room for it: bytes, inodes or a quota.
#[must_use]
pub fn is_want_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Gives one piece of the data folder that `path` lies in. Says whether there was one.
pub fn give(path: &Path) -> bool {
    let folders = path.ancestors().map(|ancestor| ancestor.join(FOLDER));
    folders.filter(|folder| folder.is_dir()).any(|folder| {
        let pieces = pieces(&folder);
        // Two who give at the same time give two.
        pieces.iter().any(|piece| std::fs::remove_file(piece).is_ok())
    })
}

/// Lays out what is missing, as long as the disk has more than a quarter of its reserve left behind it. Says how many
/// pieces are there.
///
/// # Errors
/// The disk refuses.
pub fn lay_out(root: &Path) -> io::Result<u64> {
    let folder = root.join(FOLDER);
    files::ensure_dir(&folder, 0o700)?;
    let wanted = (disk::space(root)?.total_bytes / PART / PIECE_BYTES).min(MOST_PIECES);
    for number in 0..wanted {
        let path = folder.join(format!("{PIECE}{number:03}"));
        if path.exists() {
            continue;
        }
        if disk::space(root)?.is_below(4) {
            break;
        }
        if let Err(error) = lay_out_one(&path) {
            // Half a piece would count as one.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
    }
    Ok(pieces(&folder).len() as u64)
}

fn lay_out_one(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, PIECE_BYTES.cast_signed()) {
        Err(nix::errno::Errno::EOPNOTSUPP) => write_out(&file),
        result => Ok(result?),
    }
}

/// Random bytes: some file systems keep zeros in no room at all.
fn write_out(mut file: &File) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(PIECE_BYTES).expect("a constant")];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    io::Write::write_all(&mut file, &bytes)
}

fn pieces(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(PIECE)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
    });
    ours.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> io::Error {
        io::ErrorKind::StorageFull.into()
    }

    #[test]
    fn a_write_without_room_is_given_ballast_until_it_succeeds_or_none_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let laid_out = lay_out(root).unwrap();
        assert!(laid_out > 2);
        let path = root.join("runner/instances/i1/spec.json");
        let mut refusals = 2;
        let written = with_room(&path, || {
            if refusals == 0 {
                return Ok(pieces(&root.join(FOLDER)).len() as u64);
            }
            refusals -= 1;
            Err(full())
        });
        assert_eq!(written.unwrap(), laid_out - 2);
        assert_eq!(lay_out(root).unwrap(), laid_out, "it is made whole again");
        assert!(with_room(&path, || Err::<(), _>(full())).is_err(), "no write is given all");
        assert_eq!(pieces(&root.join(FOLDER)).len() as u64, laid_out - TRIES as u64);
    }

    #[test]
    fn nothing_else_is_removed_and_no_other_failure_costs_a_piece() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let own = folder.path().join(FOLDER);
        std::fs::create_dir(&own).unwrap();
        File::create(own.join("of-a-user")).unwrap();
        assert!(!give(&path));
        assert!(own.join("of-a-user").exists());
        let laid_out = lay_out(folder.path()).unwrap();
        let denied = || Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(with_room(&path, denied).is_err());
        assert_eq!(pieces(&own).len() as u64, laid_out);
    }
}
