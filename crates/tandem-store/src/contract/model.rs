//! Random histories against a plain map: what is listed and what every watcher knows is what the map holds.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tandem_types::document::{Change, Cursor};

use super::{Changes, Engine, soon, transaction, watch};
use crate::{Expect, SharedStore};

/// One step of a history. Keys are small numbers, so that they meet often.
#[derive(Debug, Clone)]
enum Step {
    /// Puts (with a value) and deletions, all expecting what is there; or, if not `right`, one of them something else.
    Transact {
        writes: BTreeMap<u8, Option<u32>>,
        right: bool,
    },
    PutVolatile(u8, u32),
    DeleteVolatile(u8),
    /// The watcher of that number is cut off and comes back with its cursor.
    CutOff(usize),
    /// Forgets deletions up to so many revisions ago.
    Compact(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let writes = proptest::collection::btree_map(0_u8..12, any::<Option<u32>>(), 1..5);
    prop_oneof![
        8 => (writes, proptest::bool::weighted(0.8)).prop_map(|(writes, right)| Step::Transact { writes, right }),
        2 => (0_u8..4, any::<u32>()).prop_map(|(key, value)| Step::PutVolatile(key, value)),
        1 => (0_u8..4).prop_map(Step::DeleteVolatile),
        3 => (0..WATCHED.len()).prop_map(Step::CutOff),
        1 => (0_u64..6).prop_map(Step::Compact),
        1 => Just(Step::Restart),
    ]
}

/// Prefixes of the watchers.
const WATCHED: [&str; 4] = ["", "k/", "k/1", "v/"];

fn key(number: u8) -> String {
    format!("k/{number}")
}

fn volatile_key(number: u8) -> String {
    format!("v/{number}")
}

#[derive(Default)]
struct Known {
    state: BTreeMap<String, Value>,
    cursor: Option<Cursor>,
}

struct Watcher {
    prefix: &'static str,
    changes: Changes,
    known: Known,
}

impl Watcher {
    /// Takes changes until it knows what it should; never ends if it misses something.
    async fn expect(&mut self, wanted: &BTreeMap<String, Value>) {
        let wanted: BTreeMap<_, _> = wanted
            .iter()
            .filter(|(key, _)| key.starts_with(self.prefix))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let reached = soon(async {
            while self.known.cursor.is_none() || self.known.state != wanted {
                match self.changes.next().await.expect("the watch goes on") {
                    Change::Reset => self.known = Known::default(),
                    Change::Put { document } => drop(self.known.state.insert(document.key, document.body)),
                    Change::Delete { key, .. } => drop(self.known.state.remove(&key)),
                    Change::Live { cursor } => self.known.cursor = Some(cursor),
                }
            }
        });
        reached.await;
    }

    async fn come_back(&mut self, store: &SharedStore) {
        self.changes = watch(store, self.prefix, self.known.cursor.clone()).await;
    }
}

struct World<'a> {
    engine: &'a dyn Engine,
    store: Option<SharedStore>,
    lasting: BTreeMap<String, Value>,
    volatile: BTreeMap<String, Value>,
    revision: u64,
    watchers: Vec<Watcher>,
}

impl<'a> World<'a> {
    async fn new(engine: &'a dyn Engine) -> Self {
        let store = engine.open().await;
        let mut watchers = Vec::new();
        for prefix in WATCHED {
            let changes = watch(&store, prefix, None).await;
            watchers.push(Watcher { prefix, changes, known: Known::default() });
        }
        Self {
            engine,
            store: Some(store),
            lasting: BTreeMap::new(),
            volatile: BTreeMap::new(),
            revision: 0,
            watchers,
        }
    }

    fn store(&self) -> &SharedStore {
        self.store.as_ref().unwrap()
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Transact { writes, right } => self.transact(writes, right).await,
            Step::PutVolatile(number, value) => {
                let key = volatile_key(number);
                self.store().put_volatile(&key, "seen/1", json!(value)).await.unwrap();
                self.volatile.insert(key, json!(value));
            }
            Step::DeleteVolatile(number) => {
                self.store().delete_volatile(&volatile_key(number)).await.unwrap();
                self.volatile.remove(&volatile_key(number));
            }
            Step::CutOff(number) => {
                let store = self.store.clone().unwrap();
                self.watchers[number].come_back(&store).await;
            }
            Step::Compact(ago) => {
                let up_to = tandem_types::Revision(self.revision.saturating_sub(ago));
                self.store().compact(up_to).await.unwrap();
            }
            Step::Restart => self.restart().await,
        }
    }

    async fn transact(&mut self, writes: BTreeMap<u8, Option<u32>>, right: bool) {
        let mut write = transaction();
        for (number, value) in &writes {
            let key = key(*number);
            let stored = self.store().get(&key).await.unwrap();
            let expected = stored.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision));
            write = match value {
                Some(value) => write.put_value(key, ("thing/1", json!(value)), expected),
                None => write.delete(key, expected),
            };
        }
        if !right {
            write = write.check("never-there", Expect::Revision(tandem_types::Revision(1)));
            assert!(self.store().transact(write).await.unwrap_err().is_conflict());
            return;
        }
        self.revision += 1;
        assert_eq!(self.store().transact(write).await.unwrap().0, self.revision);
        for (number, value) in writes {
            match value {
                Some(value) => drop(self.lasting.insert(key(number), json!(value))),
                None => drop(self.lasting.remove(&key(number))),
            }
        }
    }

    async fn restart(&mut self) {
        self.store = None;
        let store = self.engine.open().await;
        self.volatile.clear();
        for watcher in &mut self.watchers {
            watcher.come_back(&store).await;
        }
        self.store = Some(store);
    }

    async fn check(&mut self) {
        let wanted: BTreeMap<_, _> = self.lasting.clone().into_iter().chain(self.volatile.clone()).collect();
        let listed = self.store().list("").await.unwrap().documents;
        assert!(listed.into_iter().map(|one| (one.key, one.body)).eq(wanted.clone()));
        for watcher in &mut self.watchers {
            watcher.expect(&wanted).await;
        }
    }
}

/// Runs random histories, each on an engine of its own.
pub(crate) fn random_histories_end_in_the_state_of_a_plain_map<E: Engine>(make: impl Fn() -> E) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A step that never comes takes its whole patience: shrinking is worth a few of those.
    let config =
        Config { cases: 48, failure_persistence: None, max_shrink_time: 120_000, ..Config::default() };
    // Watchers look now and then, so that they are behind by varying lengths.
    let history = proptest::collection::vec((step(), proptest::bool::weighted(0.3)), 1..40);
    let run = |history: Vec<(Step, bool)>| {
        runtime.block_on(async {
            let engine = make();
            let mut world = World::new(&engine).await;
            for (step, look) in history {
                world.take(step).await;
                if look {
                    world.check().await;
                }
            }
            world.check().await;
        });
        Ok(())
    };
    TestRunner::new(config).run(&history, run).unwrap();
}
