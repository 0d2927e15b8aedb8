//! Volatile documents: in memory, told to watchers, gone with the process.
//!
//! A deleted one leaves its key behind, also in the database, so that a watcher that comes back (even to a later
//! process) is told of the deletion.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tandem_types::document::Document;

use crate::key::Prefixes;

/// All volatile documents.
pub(super) struct Volatile {
    state: Mutex<State>,
}

struct State {
    slots: BTreeMap<String, Slot>,
    /// Grows by one at each change.
    sequence: u64,
}

struct Slot {
    /// None: deleted, or known to an earlier process only.
    document: Option<Document>,
    /// The change that left it so.
    sequence: u64,
}

/// How far a watcher has been told; none: nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// Documents written by then.
    pub(super) puts: Option<u64>,
    /// Deletions by then.
    pub(super) deletes: Option<u64>,
}

/// What a watcher is to be told, and how far that takes it.
pub(super) struct News {
    pub(super) present: Vec<Document>,
    pub(super) absent: Vec<String>,
    pub(super) sequence: u64,
}

impl Volatile {
    pub(super) fn new(keys: Vec<String>) -> Self {
        let slots = keys.into_iter().map(|key| (key, Slot { document: None, sequence: 0 })).collect();
        Self { state: Mutex::new(State { slots, sequence: 0 }) }
    }

    pub(super) fn get(&self, key: &str) -> Option<Document> {
        self.lock().slots.get(key)?.document.clone()
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.lock().slots.get(key).is_some_and(|slot| slot.document.is_some())
    }

    /// Whether the key was ever a volatile document's, and so is in the database.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.lock().slots.contains_key(key)
    }

    /// Returns the sequence after the change.
    pub(super) fn put(&self, document: Document) -> u64 {
        let mut state = self.lock();
        state.sequence += 1;
        let sequence = state.sequence;
        state.slots.insert(document.key.clone(), Slot { document: Some(document), sequence });
        sequence
    }

    /// Returns the sequence after the change; none: there was no such document.
    pub(super) fn delete(&self, key: &str) -> Option<u64> {
        let mut state = self.lock();
        let sequence = state.sequence + 1;
        let slot = state.slots.get_mut(key).filter(|slot| slot.document.is_some())?;
        *slot = Slot { document: None, sequence };
        state.sequence = sequence;
        Some(sequence)
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<Document> {
        let state = self.lock();
        let range = state.slots.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        range.filter_map(|(_, slot)| slot.document.clone()).collect()
    }

    /// Forgets the key of a deleted document: a lasting one takes its place, and that is what watchers are told.
    pub(super) fn forget(&self, key: &str) {
        self.lock().slots.remove(key);
    }

    /// What a watcher has not been told yet.
    pub(super) fn since(&self, prefixes: &Prefixes, told: Told) -> News {
        let state = self.lock();
        let mut news = News { present: Vec::new(), absent: Vec::new(), sequence: state.sequence };
        let is_new = |slot: &Slot, told: Option<u64>| told.is_none_or(|told| slot.sequence > told);
        for (key, slot) in state.slots.iter().filter(|(key, _)| prefixes.cover(key)) {
            match &slot.document {
                Some(document) if is_new(slot, told.puts) => news.present.push(document.clone()),
                None if is_new(slot, told.deletes) => news.absent.push(key.clone()),
                _ => {}
            }
        }
        news
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
