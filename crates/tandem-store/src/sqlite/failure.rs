//! SQLite's errors as the store's.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::ErrorCode;
use tandem_kit::ballast::is_want_of_room;

use crate::Error;

/// End of the name of the small file that is written to find out whether there is room.
const TRIAL: &str = "-room";

/// What an SQLite error means to the caller, who was `doing` something.
pub(super) fn explain(path: &Path, doing: &'static str, source: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { path, source: source.into() },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Corrupt { path, source: source.into() }
        }
        // Shared memory that cannot grow: its file is on the same disk.
        _ if extended(&source) == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => {
            Error::Full { path, source: source.into() }
        }
        // SQLite knows a full disk, and not a quota that is used up: to it that is any failed write.
        _ if extended(&source) == Some(rusqlite::ffi::SQLITE_IOERR_WRITE) && wants_room(&path) => {
            Error::Full { path, source: source.into() }
        }
        _ if is_unreadable(&source) => Error::Corrupt { path, source: source.into() },
        _ => Error::Unavailable {
            doing: format!("{doing} the store {}", path.display()),
            source: source.into(),
        },
    }
}

fn extended(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

/// Whether the disk says so to a small file beside the store.
fn wants_room(database: &Path) -> bool {
    let mut name = database.as_os_str().to_owned();
    name.push(TRIAL);
    // Of one that was killed here; or a link to a file of root's, by whoever owns the folder that root works in. What is made anew
    // follows none (O_EXCL).
    let _ = std::fs::remove_file(&name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let tried = options.open(&name).and_then(|mut file| file.write_all(&[0; 4096]));
    // Left behind it would be made anew and removed by the next.
    let _ = std::fs::remove_file(&name);
    tried.is_err_and(|error| is_want_of_room(&error))
}

/// A row that is there but makes no sense: nobody but damage writes such.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    matches!(
        error,
        E::FromSqlConversionFailure(..)
            | E::InvalidColumnType(..)
            | E::IntegralValueOutOfRange(..)
            | E::QueryReturnedNoRows
            | E::Utf8Error(..)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_place_of_the_small_file_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let (database, other) = (folder.path().join("tandem.sqlite3"), folder.path().join("other"));
        tandem_kit::files::write_atomic_unsynced(&other, b"of root", 0o600).unwrap();
        let trial = folder.path().join("tandem.sqlite3-room");
        std::os::unix::fs::symlink(&other, &trial).unwrap();
        assert!(!wants_room(&database), "there is room");
        assert_eq!(std::fs::read(&other).unwrap(), b"of root");
        assert!(!trial.is_symlink(), "nothing is left");
    }
}
