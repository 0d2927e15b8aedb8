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
mod news;

pub(crate) use body::{Body, Mirrored};
pub(crate) use news::News;

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
pub(crate) struct Entry {
    revision: Revision,
    heard: Timestamp,
    body: Body,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    documents: BTreeMap<String, Entry>,
    /// Deleted after what the watch has told of: older news of these must not bring them back.
    deleted: BTreeMap<String, Revision>,
    /// Everything up to here has been told by the watch: what is not here was not there then.
    heard: Revision,
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
        let body = Body::read(&kind, body, &key);
        self.put_read(key, Entry { revision, heard, body })
    }

    fn put_read(&mut self, key: String, entry: Entry) -> bool {
        let Entry { revision, ref body, .. } = entry;
        let known = self.documents.get(&key);
        let newest = known.map(|entry| entry.revision).max(self.deleted.get(&key).copied());
        // Read before its deletion, and brought after the watch has told of that and its mark is gone: a ghost.
        let newest = newest.unwrap_or(self.heard);
        // Volatile documents have no revision of their own.
        if !body.is_volatile() && newest >= revision {
            return false;
        }
        self.index(&key, &entry.body);
        self.deleted.remove(&key);
        self.changed.insert(key.clone());
        self.documents.insert(key, entry);
        true
    }

    /// Drops a document, unless something newer is known of it. Says whether it was news.
    pub(crate) fn delete(&mut self, key: &str, revision: Revision) -> bool {
        let known = self.documents.get(key);
        if known.is_some_and(|entry| entry.revision > revision) {
            return false;
        }
        // Also of one that was never here: who wrote it may tell of it later.
        if revision > self.heard {
            let mark = self.deleted.entry(key.to_owned()).or_default();
            *mark = revision.max(*mark);
        }
        if self.documents.remove(key).is_none() {
            return false;
        }
        self.unfinished.remove(key);
        self.environments.remove(key);
        self.changed.insert(key.to_owned());
        true
    }

    /// Takes in what a watch told up to a revision. With `listed`, the keys at its beginning, it told all there is, and
    /// what is left of these is gone. Says whether there was news.
    pub(crate) fn catch_up(
        &mut self,
        batch: Vec<News>,
        listed: Option<BTreeSet<String>>,
        up_to: Revision,
    ) -> bool {
        let (mut news, mut gone) = (false, BTreeSet::new());
        if let Some(before) = listed {
            gone = before;
            // Read before the listing began, and brought while it went on: as old as what was here.
            gone.extend(self.lasting_up_to(up_to));
        }
        for one in batch {
            news |= match one {
                News::Written(key, entry) => {
                    gone.remove(&key);
                    self.put_read(key, entry)
                }
                News::Deleted(key, revision) => self.delete(&key, revision),
            };
        }
        for key in gone {
            news |= self.delete(&key, up_to);
        }
        self.heard = self.heard.max(up_to);
        let heard = self.heard;
        self.deleted.retain(|_, deleted| *deleted > heard);
        news
    }

    /// Keys of documents last written up to a revision, without volatile ones, which have none of their own.
    fn lasting_up_to(&self, revision: Revision) -> impl Iterator<Item = String> + '_ {
        let old = self.documents.iter().filter(move |(_, entry)| entry.revision <= revision);
        old.filter(|(_, entry)| !entry.body.is_volatile()).map(|(key, _)| key.clone())
    }

    /// The store began another life: its revisions say nothing about those of the one before. What is here stays until
    /// the listing says better.
    pub(crate) fn forget_revisions(&mut self) {
        self.documents.values_mut().for_each(|entry| entry.revision = Revision(0));
        self.deleted.clear();
        self.heard = Revision(0);
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
mod tests;
