//! All documents of the store as values in memory, kept up to date by one watch.
//!
//! Reads of every use case and every look of a reconciler come from here: no reading and decoding per question, and
//! nothing is asked of the disk on the way of a rollback. What this process writes itself is put in at once, so whoever
//! wrote reads it back; the watch brings it again and brings what others wrote. A stale look costs a conflict and
//! another look, never a wrong write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_store::Expect;
use tandem_types::document::Document;
use tandem_types::rollout::Rollout;
use tandem_types::{Revision, Timestamp};

mod body;

pub(crate) use body::{Body, Mirrored};

/// A value as it was written last.
#[derive(Debug, Clone)]
pub(crate) struct Versioned<T> {
    pub(crate) revision: Revision,
    pub(crate) value: Arc<T>,
    /// When this process heard of it.
    pub(crate) heard: Timestamp,
}

impl<T> Versioned<T> {
    /// For the transaction that writes it back: nobody else has written it since.
    pub(crate) fn unchanged(&self) -> Expect {
        Expect::Revision(self.revision)
    }
}

#[derive(Debug)]
struct Entry {
    revision: Revision,
    heard: Timestamp,
    body: Body,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    documents: BTreeMap<String, Entry>,
    /// Deleted here before the watch told of it: older news of these must not bring them back.
    deleted: BTreeMap<String, Revision>,
    /// Keys of rollouts that have not ended.
    unfinished: BTreeSet<String>,
    /// Keys of environments.
    environments: BTreeSet<String>,
    /// Keys that changed since they were last taken.
    changed: BTreeSet<String>,
}

impl Mirror {
    /// Takes a document in, unless something newer is known of it. Says whether it was news.
    pub(crate) fn put(&mut self, document: Document, heard: Timestamp) -> bool {
        let Document { key, revision, kind, body } = document;
        let known = self.documents.get(&key);
        let newest = known.map(|entry| entry.revision).max(self.deleted.get(&key).copied());
        let body = Body::read(&kind, body, &key);
        // Volatile documents have no revision of their own.
        let stale = newest.is_some_and(|newest| if body.is_volatile() { false } else { newest >= revision });
        if stale {
            return false;
        }
        self.index(&key, &body);
        self.deleted.remove(&key);
        self.changed.insert(key.clone());
        self.documents.insert(key, Entry { revision, heard, body });
        true
    }

    /// Drops a document, unless something newer is known of it.
    pub(crate) fn delete(&mut self, key: &str, revision: Revision) -> bool {
        let known = self.documents.get(key);
        if known.is_none_or(|entry| entry.revision > revision) {
            return false;
        }
        self.documents.remove(key);
        self.unfinished.remove(key);
        self.environments.remove(key);
        self.deleted.insert(key.to_owned(), revision);
        self.changed.insert(key.to_owned());
        true
    }

    /// Everything up to here has been heard: no older news can come.
    pub(crate) fn heard_up_to(&mut self, revision: Revision) {
        self.deleted.retain(|_, deleted| *deleted > revision);
    }

    /// Keys of all documents.
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.documents.keys().cloned().collect()
    }

    /// Keys that changed since the last call.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// One document.
    pub(crate) fn get<T: Mirrored>(&self, key: &str) -> Option<Versioned<T>> {
        self.documents.get(key).and_then(|entry| entry.versioned())
    }

    /// One value.
    pub(crate) fn value<T: Mirrored>(&self, key: &str) -> Option<Arc<T>> {
        self.documents.get(key).and_then(|entry| T::of(&entry.body)).cloned()
    }

    /// All documents of one kind under a prefix, in the order of their keys.
    pub(crate) fn list<'a, T: Mirrored>(
        &'a self,
        prefix: &'a str,
    ) -> impl DoubleEndedIterator<Item = (&'a str, Versioned<T>)> {
        let end = format!("{prefix}{}", char::MAX);
        let range = self.documents.range(prefix.to_owned()..end);
        range.filter_map(|(key, entry)| Some((key.as_str(), entry.versioned()?)))
    }

    /// Unfinished rollouts under a prefix, by number within each environment.
    pub(crate) fn unfinished<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Versioned<Rollout>> + 'a {
        let under = self.unfinished.range(prefix.to_owned()..).take_while(move |key| key.starts_with(prefix));
        under.filter_map(|key| self.get(key))
    }

    /// All environments.
    pub(crate) fn environments(
        &self,
    ) -> impl Iterator<Item = Arc<tandem_types::environment::Environment>> + '_ {
        self.environments.iter().filter_map(|key| self.value(key))
    }

    fn index(&mut self, key: &str, body: &Body) {
        match body {
            Body::Rollout(rollout) if rollout.state.is_final() => {
                self.unfinished.remove(key);
            }
            Body::Rollout(_) => {
                self.unfinished.insert(key.to_owned());
            }
            Body::Environment(_) => {
                self.environments.insert(key.to_owned());
            }
            _ => {}
        }
    }
}

impl Entry {
    fn versioned<T: Mirrored>(&self) -> Option<Versioned<T>> {
        let value = Arc::clone(T::of(&self.body)?);
        Some(Versioned { revision: self.revision, value, heard: self.heard })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(revision: u64, name: &str) -> Document {
        let hash = "0".repeat(64);
        Document {
            key: "tokens/ci".to_owned(),
            revision: Revision(revision),
            kind: "token/1".to_owned(),
            body: json!({ "name": name, "hash": hash, "created": "2026-11-21T12:00:00Z" }),
        }
    }

    fn name(mirror: &Mirror) -> Option<String> {
        mirror.value::<tandem_types::api::Token>("tokens/ci").map(|token| token.name.clone())
    }

    #[test]
    fn old_news_never_replaces_what_was_written_here() {
        let mut mirror = Mirror::default();
        let now = Timestamp::UNIX_EPOCH;
        assert!(mirror.put(token(5, "mine"), now));
        assert!(!mirror.put(token(4, "older"), now));
        assert!(!mirror.put(token(5, "mine"), now), "its own echo is no news");
        assert_eq!(name(&mirror).as_deref(), Some("mine"));
        assert!(mirror.delete("tokens/ci", Revision(6)));
        assert!(!mirror.put(token(5, "mine"), now), "deleted here, told of later");
        assert_eq!(name(&mirror), None);
        mirror.heard_up_to(Revision(6));
        assert!(mirror.put(token(7, "again"), now));
        assert_eq!(mirror.take_changed().len(), 1);
        assert!(mirror.take_changed().is_empty());
    }
}
