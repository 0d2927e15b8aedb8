//! What the store keeps: versioned documents, their changes and the journal.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Fence, Revision, Timestamp};

/// One document as it stands at [`Document::revision`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Path-like key, see [`crate::keys`].
    pub key: String,
    /// Revision of the transaction that wrote it last.
    pub revision: Revision,
    /// Kind and format version, such as `rollout/1`.
    pub kind: String,
    /// The value, as its kind says.
    pub body: Value,
}

/// Types that are stored under one kind.
pub trait Kind: Serialize + for<'de> Deserialize<'de> {
    /// Kind and format version, such as `rollout/1`. A greater version is never overwritten by a smaller one.
    const KIND: &'static str;

    /// Whether this program understands documents of a kind: those of its own name that are not of a newer version.
    #[must_use]
    fn reads(kind: &str) -> bool {
        let version = |kind: &str| kind.split_once('/')?.1.parse::<u32>().ok();
        let versions = version(kind).zip(version(Self::KIND));
        kind_name(kind) == kind_name(Self::KIND) && versions.is_some_and(|(given, own)| given <= own)
    }
}

/// The name in a kind, whatever its version: `rollout` of `rollout/1`.
#[must_use]
pub fn kind_name(kind: &str) -> &str {
    kind.split_once('/').map_or(kind, |(name, _)| name)
}

/// A place in the history of one store. After a restore the incarnation differs and the place means nothing:
/// the watcher lists anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Random name of this life of the store; changes when history was cut off (restore, failover with loss).
    pub incarnation: String,
    /// Everything up to and including this revision has been seen.
    pub revision: Revision,
}

/// One message of a watch. After `Reset` come all documents under the prefix as `Put`, then `Live`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Forget what you know under this prefix: the cursor was unknown, too old (compacted), or of another life.
    Reset,
    /// The document was written.
    Put {
        /// Its new state.
        document: Document,
    },
    /// The document was deleted.
    Delete {
        /// Its key.
        key: String,
        /// Revision of the deleting transaction.
        revision: Revision,
    },
    /// Everything that was there has been sent up to this cursor; what follows is news.
    /// Sent again after each batch and at least every 15 s as a sign of life.
    Live {
        /// Where to go on after a broken connection.
        cursor: Cursor,
    },
}

/// Who did it, why, and as what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `unix:root`, `token:ci`, `system:rollout`, …
    pub actor: String,
    /// Verb and noun in the present: `deploy.start`, `config.set`, `rollout.step`, …
    pub action: String,
    /// Free text for people; empty where nothing was said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// App and environment it is about (`guestbook/production`), empty for the installation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
}

/// Actions that only tell how something came to its end, which an entry of its own tells: steps of rollouts, and what becomes
/// of instances without one; and that old ones were forgotten. The journal keeps them for as long as people look for them, and not for years.
pub const PASSING_ACTIONS: [&str; 5] =
    ["environment.upkeep", "release.forget", "rollout.forget", "rollout.step", "run.forget"];

/// One line of the journal, written in the transaction it tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Revision of the transaction.
    pub revision: Revision,
    /// Time by the store's clock.
    pub time: Timestamp,
    /// Who, what, why.
    #[serde(flatten)]
    pub cause: Cause,
    /// Keys of the documents that were written or deleted.
    pub keys: Vec<String>,
}

/// A lease as it was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What is leased: `rollouts`, …
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// Fencing number; grows with each new holder.
    pub fence: Fence,
    /// End by the store's clock, for others; the holder counts by its own monotonic clock from before it asked.
    pub deadline: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;

    #[test]
    fn documents_of_older_versions_are_read_and_those_of_newer_ones_are_not() {
        for kind in ["app/1", App::KIND] {
            assert!(App::reads(kind), "{kind}");
        }
        for kind in ["app/4000000000", "app", "app/", "app/x", "build/1", "ap/1", ""] {
            assert!(!App::reads(kind), "{kind}");
        }
    }
}
