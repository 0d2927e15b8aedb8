//! Why the store refused or failed.

use std::path::{Path, PathBuf};

use crate::sqlite::snapshots::Snapshots;

/// Any cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a call to the store did not do what it was asked. Nothing was written then, with the exception named at
/// [`Error::Unavailable`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A document is not at the revision the transaction expects: read again and decide again.
    #[error("write {key}: it was changed meanwhile")]
    Conflict {
        /// Its key.
        key: String,
    },
    /// A newer version of Tandem wrote the document; an older one would drop what it does not know.
    #[error("write {key}: a newer version of Tandem wrote it as {kind}")]
    NewerFormat {
        /// Its key.
        key: String,
        /// Kind and version as stored.
        kind: String,
    },
    /// The document is of another kind.
    #[error("use {key} as {wanted}: it is stored as {kind}")]
    OtherKind {
        /// Its key.
        key: String,
        /// Kind and version as stored.
        kind: String,
        /// Kind and version asked for.
        wanted: String,
    },
    /// The lease has ended or is another holder's: stop acting on it.
    #[error("write under the lease {lease:?}: it is no longer held")]
    Fenced {
        /// Name of the lease.
        lease: String,
    },
    /// The same key is a volatile document.
    #[error("write {key}: it is a volatile document")]
    Volatile {
        /// Its key.
        key: String,
    },
    /// The same key is a lasting document.
    #[error("write {key}: it is no volatile document")]
    Lasting {
        /// Its key.
        key: String,
    },
    /// A transaction without writes that is not marked as a note, or one that writes a key twice, or a key, kind or body
    /// out of its limits: a bug of the caller.
    #[error("accept the transaction: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// The body of a document is not what its kind says.
    #[error("read {key} as {wanted}")]
    Body {
        /// Its key.
        key: String,
        /// Kind and version asked for.
        wanted: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// The disk is full. The store goes on once there is room.
    #[error("write to the store {}: the disk is full", path.display())]
    Full {
        /// The database file.
        path: PathBuf,
        /// What the engine said.
        #[source]
        source: BoxError,
    },
    /// The file is damaged or no store of Tandem.
    #[error("use the store {}: the file is damaged or is no store", path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What the engine said.
        #[source]
        source: BoxError,
    },
    /// A newer version of Tandem made the store.
    #[error("open the store {}: its format {found} is newer than {known}, the newest known here", path.display())]
    NewerStore {
        /// The database file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest one this program knows.
        known: u32,
    },
    /// The engine failed otherwise (no rights, an error of the disk, shut down). Whether a write that was under way
    /// took place is not known; nothing half-written stays in any case.
    #[error("{doing}")]
    Unavailable {
        /// What was being done to what.
        doing: String,
        /// What the engine said.
        #[source]
        source: BoxError,
    },
}

impl Error {
    /// What people can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NewerFormat { .. } | Self::NewerStore { .. } => {
                Some("upgrade this `tandem` to the newer version".to_owned())
            }
            Self::Full { .. } => Some("make room on the disk of the data folder".to_owned()),
            Self::Corrupt { path, .. } => Some(restore_hint(path)),
            _ => None,
        }
    }

    /// Whether reading again and deciding again is the answer.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed { reason: reason.into() }
    }
}

/// How people get a damaged store back, with the age of what they get.
fn restore_hint(database: &Path) -> String {
    let folder = database.parent().unwrap_or(Path::new(".")).display();
    let latest = Snapshots::of(database).latest().ok().flatten();
    let Some(latest) = latest else {
        return format!(
            "there is no snapshot of this version or an older one in {folder}: put the file back from a backup, \
             or name another folder with --data"
        );
    };
    let time = latest.time.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!(
        "type `tandem store restore --data {folder}`: it puts the snapshot of {time} (revision {}) back and keeps the \
         damaged file; apps and balancer go on meanwhile",
        latest.revision
    )
}
