//! Everything the store of a running installation keeps, read as balancers and runners read it, and its journal.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_kit::api::{Client, Server};
use tandem_types::document::{Change, Document, JournalEntry, Kind, PASSING_ACTIONS};
use tandem_types::keys;
use tokio::runtime::Builder;

use crate::installation::Installation;

/// Time the whole list may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The newest entries of a journal, of which none goes. Older ones of passing actions may be gone (decision 014).
const NEWEST: usize = 2_000;

/// All documents at one moment.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    by_key: BTreeMap<String, Document>,
}

impl Documents {
    /// Reads them over the local socket.
    ///
    /// # Panics
    ///
    /// Where the list does not come whole.
    #[must_use]
    pub fn read(installation: &Installation) -> Self {
        let client = Client::new(Server::Unix(installation.data().api_socket()));
        let runtime = Builder::new_current_thread().enable_all().build().expect("descriptors are free");
        let prefixes = [keys::APPS, keys::HOSTS, keys::ROUTING, keys::INSTALLATION, keys::TOKENS];
        let read = async {
            let mut watch = client.watch(&prefixes);
            let mut by_key = BTreeMap::new();
            loop {
                match watch.next().await {
                    Change::Reset => by_key.clear(),
                    Change::Put { document } => drop(by_key.insert(document.key.clone(), document)),
                    Change::Delete { key, .. } => drop(by_key.remove(&key)),
                    Change::Live { .. } => return Self { by_key },
                }
            }
        };
        let read = runtime.block_on(async { tokio::time::timeout(LIMIT, read).await });
        read.expect("the server lists its documents")
    }

    /// All values of one kind, by key.
    ///
    /// # Panics
    ///
    /// Where one is not what its kind says.
    #[must_use]
    pub fn all<T: Kind>(&self) -> Vec<T> {
        let of_kind = self.by_key.values().filter(|document| document.kind == T::KIND);
        let value = |document: &Document| {
            serde_json::from_value(document.body.clone())
                .unwrap_or_else(|error| panic!("{}: {error}", document.key))
        };
        of_kind.map(value).collect()
    }

    /// Those that are on the disk. Reports are volatile.
    pub fn lasting(&self) -> impl Iterator<Item = &Document> {
        self.by_key.values().filter(|document| !document.key.ends_with("/observed"))
    }
}

/// The whole journal, the oldest entry first.
///
/// # Panics
///
/// Where it cannot be read.
#[must_use]
pub fn journal(installation: &Installation) -> Vec<JournalEntry> {
    let listed = installation.tandem(["journal", "--json", "-n", "1000000"]).expect_success().stdout;
    let entry = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    let mut entries: Vec<JournalEntry> = listed.lines().map(entry).collect();
    entries.sort_by_key(|entry| entry.revision);
    entries
}

/// What is wrong with the store's word: what was acknowledged is gone, or something is there by half. What the journal
/// forgets on purpose is not missed.
///
/// `before` is the journal as it was read earlier: each of its entries was acknowledged.
#[must_use]
pub fn broken(before: &[JournalEntry], after: &[JournalEntry], documents: &Documents) -> Vec<String> {
    let mut broken = Vec::new();
    let newest = &after[after.len().saturating_sub(NEWEST)..];
    let since = newest.first().filter(|_| newest.len() < after.len()).map_or(0, |entry| entry.revision.0);
    let stays = |entry: &&JournalEntry| {
        entry.revision.0 >= since || !PASSING_ACTIONS.contains(&entry.cause.action.as_str())
    };
    let last = before.last().map_or(0, |entry| entry.revision.0);
    let as_before = after.iter().filter(stays).take_while(|entry| entry.revision.0 <= last);
    if !as_before.eq(before.iter().filter(stays)) {
        broken.push("the journal does not begin as it did before".to_owned());
    }
    for pair in newest.windows(2) {
        if pair[1].revision.0 != pair[0].revision.0 + 1 {
            broken.push(format!("the journal goes from {} to {}", pair[0].revision, pair[1].revision));
        }
    }
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in after {
        last.extend(entry.keys.iter().map(|key| (key.as_str(), entry.revision.0)));
    }
    for document in documents.lasting() {
        let told = last.get(document.key.as_str()).copied();
        let Document { key, revision, .. } = document;
        let is_forgotten = revision.0 < since && told.is_none_or(|told| told < revision.0);
        if told != Some(revision.0) && !is_forgotten {
            broken.push(format!("{key} was last written by {revision}, its journal says {told:?}"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tandem_types::Revision;

    use super::*;

    /// Each tenth one is the end of a rollout and the others its steps; each writes a document of its own.
    fn entries(revisions: std::ops::RangeInclusive<u64>) -> Vec<JournalEntry> {
        let entry = |revision: u64| {
            let action = if revision.is_multiple_of(10) { "rollout.end" } else { "rollout.step" };
            let value = json!({
                "revision": revision, "time": "2026-11-21T12:00:00Z", "actor": "system:rollout",
                "action": action, "keys": [format!("apps/{revision}")],
            });
            serde_json::from_value(value).unwrap()
        };
        revisions.map(entry).collect()
    }

    fn documents(revisions: std::ops::RangeInclusive<u64>) -> Documents {
        let document = |revision: u64| {
            let key = format!("apps/{revision}");
            let (kind, body) = ("thing/1".to_owned(), json!(revision));
            (key.clone(), Document { key, revision: Revision(revision), kind, body })
        };
        Documents { by_key: revisions.map(document).collect() }
    }

    #[test]
    fn steps_that_were_cut_are_not_missed_and_whatever_else_is_gone_is() {
        let (before, documents) = (entries(1..=2_400), documents(1..=2_500));
        let whole = entries(1..=2_500);
        assert_eq!(broken(&before, &whole, &documents), Vec::<String>::new(), "nothing was cut yet");
        let is_kept = |entry: &JournalEntry| entry.revision.0 > 500 || entry.cause.action == "rollout.end";
        let cut: Vec<_> = whole.iter().filter(|entry| is_kept(entry)).cloned().collect();
        assert_eq!(broken(&before, &cut, &documents), Vec::<String>::new());
        let without = |revision: u64| {
            let left = cut.iter().filter(|entry| entry.revision.0 != revision).cloned();
            broken(&before, &left.collect::<Vec<_>>(), &documents)
        };
        assert_eq!(without(100), ["the journal does not begin as it did before"], "an end");
        assert_eq!(
            without(2_001),
            [
                "the journal does not begin as it did before",
                "the journal goes from 2000 to 2002",
                "apps/2001 was last written by 2001, its journal says None"
            ]
        );
        assert_eq!(without(2_500), ["apps/2500 was last written by 2500, its journal says None"]);
    }
}
