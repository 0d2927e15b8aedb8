//! What the watch has told so far: the assignments that are obeyed.
//!
//! Two things can make a runner stop what must go on: half a listing taken for the whole, and an old word heard
//! after a newer one. So a listing counts only from its end (`Live`) on, a cut connection changes nothing, and a
//! document whose fence is smaller than one obeyed before is refused. Fences are compared per document: after a
//! lease moved, documents that the new holder had no reason to write still carry the old number and stay true.
//!
//! Pure: bytes come from `tandem_kit::api::Watch`, what follows from it is decided in [`crate::plan`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tandem_types::Fence;
use tandem_types::assignment::Assignment;
use tandem_types::document::{Change, Document, Kind};

/// The highest fences obeyed, and the life of the store they were given in. Written to disk before they are acted on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Fences {
    /// Incarnation of the store; in another one (a restore) the numbers begin anew.
    pub(crate) incarnation: Option<String>,
    /// Document key → highest fence.
    pub(crate) highest: BTreeMap<String, Fence>,
}

/// Assignments as they are obeyed.
#[derive(Debug, Default)]
pub(crate) struct Assignments {
    obeyed: BTreeMap<String, Assignment>,
    /// Keys of documents that exist but were refused, and of which no version was obeyed by this process.
    refused: BTreeSet<String>,
    /// Collects what comes between `Reset` and `Live`.
    listing: Option<BTreeMap<String, Document>>,
    fences: Fences,
    complete: bool,
}

/// Why a document was not obeyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// An older holder of the lease wrote it.
    #[error("its fence {} is smaller than {}, which was obeyed before", given.0, highest.0)]
    Stale { given: Fence, highest: Fence },
    /// Another kind or a newer format.
    #[error("its kind is {kind}, this runner knows {} and older ones", Assignment::KIND)]
    Kind { kind: String },
    /// Not what its kind promises.
    #[error("its body is not an assignment")]
    Body(#[source] serde_json::Error),
}

impl Assignments {
    /// Nothing heard yet, but for the fences that an earlier process wrote down.
    pub(crate) fn new(fences: Fences) -> Self {
        Self { fences, ..Self::default() }
    }

    /// Takes in one message of the watch. True when what is obeyed may differ now.
    pub(crate) fn apply(&mut self, change: Change) -> bool {
        match (change, &mut self.listing) {
            (Change::Reset, _) => {
                self.listing = Some(BTreeMap::new());
                false
            }
            (Change::Put { document }, Some(listing)) => {
                listing.insert(document.key.clone(), document);
                false
            }
            (Change::Put { document }, None) => self.admit(document),
            (Change::Delete { key, .. }, Some(listing)) => {
                listing.remove(&key);
                false
            }
            (Change::Delete { key, .. }, None) => self.forget(&key),
            (Change::Live { cursor }, listing) => {
                let listing = listing.take();
                listing.is_some_and(|listing| self.replace(listing, cursor.incarnation))
            }
        }
    }

    /// Whether a whole listing was heard once, so that what is not named may be stopped.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The documents that are obeyed.
    pub(crate) fn obeyed(&self) -> impl Iterator<Item = &Assignment> {
        self.obeyed.values()
    }

    /// The last part of the keys (`<app>.<env>`) of which only refused versions are known: what runs for them is
    /// neither started nor stopped.
    pub(crate) fn refused(&self) -> impl Iterator<Item = &str> {
        self.refused.iter().map(|key| key.rsplit('/').next().unwrap_or(key))
    }

    /// What must be on disk before anything obeyed is acted on.
    pub(crate) fn fences(&self) -> &Fences {
        &self.fences
    }

    /// The highest fence over all documents, for the observation.
    pub(crate) fn highest_fence(&self) -> Fence {
        self.fences.highest.values().copied().max().unwrap_or_default()
    }

    fn replace(&mut self, listing: BTreeMap<String, Document>, incarnation: String) -> bool {
        if self.fences.incarnation.as_deref() != Some(&incarnation) {
            self.fences = Fences { incarnation: Some(incarnation), highest: BTreeMap::new() };
        }
        let gone: Vec<String> =
            self.obeyed.keys().filter(|key| !listing.contains_key(*key)).cloned().collect();
        gone.iter().for_each(|key| {
            self.forget(key);
        });
        self.refused.retain(|key| listing.contains_key(key));
        self.fences.highest.retain(|key, _| listing.contains_key(key));
        for document in listing.into_values() {
            self.admit(document);
        }
        self.complete = true;
        true
    }

    fn admit(&mut self, document: Document) -> bool {
        let key = document.key.clone();
        match read(document, self.fences.highest.get(&key).copied()) {
            Ok(assignment) => {
                self.fences.highest.insert(key.clone(), assignment.fence);
                self.refused.remove(&key);
                self.obeyed.insert(key, assignment);
                true
            }
            Err(refusal) => {
                tracing::warn!(document = key, error = %refusal, "an assignment is not obeyed: {refusal}");
                !self.obeyed.contains_key(&key) && self.refused.insert(key)
            }
        }
    }

    fn forget(&mut self, key: &str) -> bool {
        self.fences.highest.remove(key);
        self.refused.remove(key) | self.obeyed.remove(key).is_some()
    }
}

fn read(document: Document, highest: Option<Fence>) -> Result<Assignment, Refusal> {
    if !Assignment::reads(&document.kind) {
        return Err(Refusal::Kind { kind: document.kind });
    }
    let assignment: Assignment = serde_json::from_value(document.body).map_err(Refusal::Body)?;
    match highest {
        Some(highest) if assignment.fence < highest => {
            Err(Refusal::Stale { given: assignment.fence, highest })
        }
        _ => Ok(assignment),
    }
}

#[cfg(test)]
mod tests;
