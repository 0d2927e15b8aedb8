//! The power is cut at every write: what was acknowledged is there, what was not is there as a whole or not at all.
//!
//! A history is run once on a disk that remembers its operations. From these the disk is put together as it may be found
//! after a cut behind each of them (synced data for certain, of the rest nothing, all, or torn sectors of some), opened
//! with our own `open`, and compared with what the history knew.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tandem_kit::clock::Clock;
use tandem_types::Span;

use super::disk_model::{Fate, Model, write_image};
use super::vfs::{Disk, Fault, Operation};
use super::{SqliteEngine, open_engine};
use crate::contract::transaction;
use crate::sqlite::check;
use crate::{Expect, JournalQuery, Store as _, Transaction};

const NAME: &str = "tandem.sqlite3";

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    revision: u64,
    documents: BTreeMap<String, Value>,
    fence: u64,
    volatile: BTreeSet<String>,
}

/// A store on a watched disk, and what it acknowledged.
struct History {
    folder: tempfile::TempDir,
    disk: Arc<Disk>,
    engine: Option<SqliteEngine>,
    /// After each answer.
    known: Vec<Known>,
}

impl History {
    /// The store is made; the first known state is of before.
    async fn begin() -> Self {
        let folder = memory_folder();
        let disk = Disk::watch(folder.path());
        let mut history = Self { folder, disk, engine: None, known: vec![Known::default()] };
        history.open().await;
        history
    }

    async fn open(&mut self) {
        let path = self.folder.path().join(NAME);
        self.engine = Some(open_engine(path, Clock::system()).await.unwrap());
        self.answered(|_| {});
    }

    fn close(&mut self) {
        self.engine = None;
    }

    fn engine(&self) -> &SqliteEngine {
        self.engine.as_ref().unwrap()
    }

    fn answered(&mut self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.last().unwrap().clone();
        change(&mut known);
        self.known.push(known);
        self.disk.mark(self.known.len() - 1);
    }

    /// Writes some documents, and deletes one.
    async fn transact(&mut self, puts: &[(String, Value)], delete: Option<&str>) -> Result<(), crate::Error> {
        let put = |all: Transaction, (key, body): &(String, Value)| {
            all.put_value(key.clone(), ("thing/1", body.clone()), Expect::Any)
        };
        let write = puts.iter().fold(transaction(), put);
        let write = delete.map_or(write.clone(), |key| write.delete(key, Expect::Any));
        let revision = self.engine().transact(write).await?;
        self.answered(|known| {
            known.revision = revision.0;
            known.documents.extend(puts.iter().cloned());
            delete.map(|key| known.documents.remove(key));
        });
        Ok(())
    }

    async fn acquire(&mut self, name: &str) {
        let lease = self.engine().acquire(name, "one", Span::seconds(30)).await.unwrap().unwrap();
        self.answered(|known| known.fence = lease.fence.0);
    }

    async fn put_volatile(&mut self, key: &str) {
        self.engine().put_volatile(key, "thing/1", json!(1)).await.unwrap();
        self.answered(|known| known.volatile.extend([key.to_owned()]));
    }

    async fn compact(&mut self) {
        self.engine().compact(tandem_types::Revision(u64::MAX)).await.unwrap();
        self.answered(|_| {});
    }

    /// Something of everything, as often as said: pages that split, logs that are copied back, stores that are closed.
    async fn run(&mut self, rounds: usize) {
        for round in 0..rounds {
            let text = |length: usize| json!(format!("{round:04}").repeat(length));
            let small = [(format!("n/{}", round % 7), text(3)), ("count".to_owned(), json!(round))];
            self.transact(&small, None).await.unwrap();
            match round % 8 {
                1 => self.acquire("rollouts").await,
                2 => self.put_volatile(&format!("hosts/h{round}/observed")).await,
                3 => self.transact(&[(format!("large/{round}"), text(6_000))], None).await.unwrap(),
                4 => self.transact(&[], Some(&format!("large/{}", round.saturating_sub(1)))).await.unwrap(),
                5 => self.compact().await,
                6 => drop(self.engine().list("").await.unwrap()),
                7 => {
                    self.close();
                    self.open().await;
                }
                _ => {}
            }
        }
    }

    /// Cuts the power behind every operation. Returns how many different disks were looked at, or what was wrong with
    /// one.
    async fn cut_everywhere(mut self, torn: u64) -> Result<usize, String> {
        self.close();
        self.disk.forget();
        let operations = self.disk.operations();
        let (mut model, mut seen, mut answered) = (Model::with_empty(NAME), BTreeSet::new(), 0);
        for (number, operation) in operations.iter().enumerate() {
            model.apply(operation);
            if let Operation::Mark(known) = operation {
                answered = *known;
            }
            let fates = [Fate::Lost, Fate::Kept].into_iter();
            let seeds = (0..torn).map(|seed| Fate::Torn(seed * 1_000_003 + number as u64));
            for fate in fates.chain(seeds) {
                let image = model.image(fate);
                if !seen.insert((hash(&image), answered)) {
                    continue;
                }
                let upcoming = self.known.get(answered + 1);
                let found = verify(&image, (&self.known[answered], upcoming)).await;
                found.map_err(|wrong| {
                    format!("cut behind operation {number} of {}, {fate:?}: {wrong}", operations.len())
                })?;
            }
        }
        Ok(seen.len())
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.engine = None;
        self.disk.forget();
    }
}

/// In memory where the machine has such a folder: thousands of disks are made.
fn memory_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn hash(image: &BTreeMap<String, Vec<u8>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.hash(&mut hasher);
    hasher.finish()
}

/// Opens what was found, and compares it with what was acknowledged and what was asked for next.
async fn verify(
    image: &BTreeMap<String, Vec<u8>>,
    (before, after): (&Known, Option<&Known>),
) -> Result<(), String> {
    let folder = memory_folder();
    write_image(image, folder.path());
    let path: PathBuf = folder.path().join(NAME);
    let engine = open_engine(path.clone(), Clock::system()).await.map_err(|error| format!("{error:?}"))?;
    let listing = engine.list("").await.map_err(|error| format!("{error:?}"))?;
    let documents = listing.documents.into_iter().map(|document| (document.key, document.body)).collect();
    let found = (listing.cursor.revision.0, documents);
    let is = |known: &Known| found == (known.revision, known.documents.clone());
    if !is(before) && !after.is_some_and(is) {
        let wanted = after.map(|after| after.revision);
        return Err(format!("revision {} instead of {} or {wanted:?}", found.0, before.revision));
    }
    let journal = engine.journal(JournalQuery::default()).await.map_err(|error| format!("{error:?}"))?;
    if !journal.iter().map(|entry| entry.revision.0).eq(1..=found.0) {
        return Err(format!("a journal of {} entries at revision {}", journal.len(), found.0));
    }
    for key in &before.volatile {
        // A watcher knows it, so it must be told that it is gone.
        if !engine.knows_volatile(key) {
            return Err(format!("the volatile key {key} is forgotten"));
        }
    }
    let lease = engine.acquire("rollouts", "next", Span::seconds(30)).await;
    let fence = lease.map_err(|error| format!("{error:?}"))?.map_or(0, |lease| lease.fence.0);
    if fence <= before.fence {
        return Err(format!("the fence {fence} again, after {}", before.fence));
    }
    drop(engine);
    let checked = check(&path, |_| Ok(())).map_err(|error| format!("{error:?}"))?;
    if checked.problems.is_empty() { Ok(()) } else { Err(checked.problems.join("; ")) }
}

#[tokio::test]
async fn a_power_cut_at_any_write_loses_nothing_that_was_acknowledged() {
    let mut history = History::begin().await;
    history.run(17).await;
    let disks = history.cut_everywhere(1).await.unwrap();
    assert!(disks > 300, "only {disks} different disks");
}

#[tokio::test]
async fn a_disk_that_lies_about_syncs_is_found_out() {
    let mut history = History::begin().await;
    history.disk.lie();
    history.run(5).await;
    let wrong = history.cut_everywhere(1).await.unwrap_err();
    assert!(wrong.contains("revision 0 instead of 1"), "the first answer that was no truth: {wrong}");
}

#[tokio::test]
async fn a_sync_that_fails_is_no_success_and_loses_nothing_before_it() {
    let mut refused = 0;
    for after in 0..12 {
        let mut history = History::begin().await;
        history.run(3).await;
        history.disk.refuse(Fault::Sync, (after, 1));
        let mut failed = 0;
        for number in 0..40 {
            // Large enough to have the log copied back on the way, whose syncs fail as well.
            let puts = [(format!("n/{number}"), json!(number.to_string().repeat(8_000)))];
            let done = history.transact(&puts, None).await;
            if let Err(error) = done {
                assert!(matches!(error, crate::Error::Unavailable { .. }), "{error:?}");
                failed += 1;
                history.lose_count();
            }
        }
        refused += history.disk.recover();
        assert!(failed <= 1, "the store goes on");
        history.cut_at_the_end().await.unwrap();
    }
    assert_eq!(refused, 12, "each of them was met");
}

impl History {
    /// A transaction failed, and nobody knows how it came out.
    fn lose_count(&mut self) {
        self.disk.mark(self.known.len() - 1);
    }

    /// Cuts the power behind the last answer, with nothing that was not synced.
    async fn cut_at_the_end(mut self) -> Result<(), String> {
        let operations = self.disk.operations();
        self.disk.forget();
        self.close();
        let mut model = Model::with_empty(NAME);
        operations.iter().for_each(|operation| model.apply(operation));
        verify(&model.image(Fate::Lost), (self.known.last().unwrap(), None)).await
    }
}

mod long {
    use super::History;

    #[tokio::test]
    async fn a_power_cut_at_any_write_of_a_long_history_loses_nothing() {
        let mut history = History::begin().await;
        history.run(64).await;
        let disks = history.cut_everywhere(4).await.unwrap();
        assert!(disks > 3_000, "only {disks} different disks");
    }
}
