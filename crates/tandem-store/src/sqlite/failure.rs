//! SQLite's errors as the store's.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::Error;

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
