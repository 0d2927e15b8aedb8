//! What a watch told of one document, read as soon as it comes: until a listing is whole all of it is held, and as text in
//! trees it would take three times the room, which is most of the time that a start with tens of thousands of documents
//! takes.

use tandem_types::document::{Change, Document};
use tandem_types::{Revision, Timestamp};

use super::{Body, Entry};

/// See the module.
#[derive(Debug)]
pub(crate) enum News {
    /// The document of this key is so now.
    Written(String, Entry),
    /// It was deleted by this transaction.
    Deleted(String, Revision),
}

impl News {
    /// None: the change is of no document.
    pub(crate) fn of(change: Change, heard: Timestamp) -> Option<Self> {
        match change {
            Change::Put { document: Document { key, revision, kind, body } } => {
                let body = Body::read(&kind, body, &key);
                Some(Self::Written(key, Entry { revision, heard, body }))
            }
            Change::Delete { key, revision } => Some(Self::Deleted(key, revision)),
            Change::Reset | Change::Live { .. } => None,
        }
    }
}
