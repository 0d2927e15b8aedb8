//! Everything the store of a running installation keeps, read as balancers and runners read it, and its journal.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_kit::api::{Client, Server};
use tandem_types::document::{Change, Document, JournalEntry, Kind};
use tandem_types::keys;
use tokio::runtime::Builder;

use crate::installation::Installation;

/// Time the whole list may take.
const LIMIT: Duration = Duration::from_secs(20);

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

/// What is wrong with the store's word: what was acknowledged is gone, or something is there by half.
///
/// `before` is the journal as it was read earlier: each of its entries was acknowledged.
#[must_use]
pub fn broken(before: &[JournalEntry], after: &[JournalEntry], documents: &Documents) -> Vec<String> {
    let mut broken = Vec::new();
    if after.get(..before.len()) != Some(before) {
        broken.push("the journal does not begin as it did before".to_owned());
    }
    for pair in after.windows(2) {
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
        if told != Some(document.revision.0) {
            let Document { key, revision, .. } = document;
            broken.push(format!("{key} was last written by {revision}, its journal says {told:?}"));
        }
    }
    broken
}
