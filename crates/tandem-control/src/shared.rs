//! What all use cases and reconcilers work with: the store and its mirror, keys, blobs, event logs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use tandem_blobs::{BlobStore, Strangers};
use tandem_kit::clock::Clock;
use tandem_kit::{ballast, tasks};
use tandem_rules::traffic::Traffic;
use tandem_store::{Error, SharedStore, Transaction, Write};
use tandem_types::document::{Cause, Document};
use tandem_types::{HostName, Revision, Timestamp};
use tokio::sync::{Notify, watch};

use crate::builder::SharedBuilder;
use crate::event_log::EventLogs;
use crate::housekeeping::lost::LostTrees;
use crate::housekeeping::room::LastBudget;
use crate::housekeeping::snapshots::SnapshotProblem;
use crate::mirror::{Mirror, Mirrored, Versioned};
use crate::place::Place;
use crate::secrets::Keyring;
use crate::steady::Steady;

/// Attempts to write what others keep changing; more would be a defect.
pub(crate) const MOST_ATTEMPTS: usize = 30;

/// Pieces of ballast that one transaction may cost: its pages, and the checkpoint it may bring about.
const PIECES_GIVEN: usize = 4;

/// See the module.
pub(crate) struct Shared {
    pub(crate) store: SharedStore,
    pub(crate) blobs: BlobStore,
    pub(crate) builder: SharedBuilder,
    /// Of the machine: for leases, and for times that others wrote.
    pub(crate) clock: Clock,
    /// By which everything is decided.
    pub(crate) steady: Steady,
    pub(crate) keyring: Keyring,
    pub(crate) logs: EventLogs,
    /// Hosts that may run instances, in the order in which they are filled.
    pub(crate) hosts: Vec<HostName>,
    pub(crate) version: String,
    /// The authority that is asked for certificates.
    pub(crate) acme: Option<tandem_acme::Config>,
    /// Whether snapshots of the store can be taken.
    pub(crate) snapshots: SnapshotProblem,
    /// The data folder, whose disk is looked at.
    pub(crate) root: PathBuf,
    /// Held by who gives room back.
    pub(crate) reclaiming: tokio::sync::Mutex<()>,
    pub(crate) budget: LastBudget,
    pub(crate) strangers: Strangers,
    /// Trees that should be here and are not.
    pub(crate) lost_trees: LostTrees,
    pub(crate) traffic: Mutex<Traffic>,
    pub(crate) started: Timestamp,
    /// Says that the installation should go down.
    pub(crate) down: watch::Sender<bool>,
    /// Wakes the reconciler.
    pub(crate) changed: Notify,
    /// Grows with each change of the mirror, for those who wait for something in it.
    pub(crate) generation: watch::Sender<u64>,
    mirror: RwLock<Mirror>,
}

/// What a [`Shared`] is made of.
pub(crate) struct Parts {
    pub(crate) store: SharedStore,
    pub(crate) blobs: BlobStore,
    pub(crate) builder: SharedBuilder,
    pub(crate) clock: Clock,
    pub(crate) steady: Steady,
    pub(crate) keyring: Keyring,
    pub(crate) logs: EventLogs,
    pub(crate) hosts: Vec<HostName>,
    pub(crate) version: String,
    pub(crate) root: PathBuf,
    pub(crate) acme: Option<tandem_acme::Config>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, blobs, builder, clock, steady, keyring, logs, hosts, version, root, acme } = parts;
        Arc::new(Self {
            started: steady.now(),
            store,
            blobs,
            builder,
            clock,
            steady,
            keyring,
            logs,
            hosts,
            version,
            acme,
            snapshots: SnapshotProblem::default(),
            root,
            reclaiming: tokio::sync::Mutex::default(),
            budget: LastBudget::default(),
            strangers: Strangers::default(),
            lost_trees: LostTrees::default(),
            traffic: Mutex::default(),
            down: watch::Sender::new(false),
            changed: Notify::new(),
            generation: watch::Sender::new(0),
            mirror: RwLock::default(),
        })
    }

    /// The time by which everything is decided and written down.
    pub(crate) fn now(&self) -> Timestamp {
        self.steady.now()
    }

    /// Looks at the mirror.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Mirror) -> T) -> T {
        look(&self.mirror.read().expect("no holder of this lock panics"))
    }

    /// Changes the mirror; wakes whoever waits for news when `change` says that there are.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Mirror) -> bool) {
        let news = change(&mut self.mirror.write().expect("no holder of this lock panics"));
        if news {
            self.changed.notify_one();
            self.generation.send_modify(|generation| *generation += 1);
        }
    }

    /// Keys that changed since the last call; for the one reconciler.
    pub(crate) fn take_changed(&self) -> BTreeSet<String> {
        self.mirror.write().expect("no holder of this lock panics").take_changed()
    }

    /// Writes, and takes what was written into the mirror. After a conflict the document in question is read again, so
    /// that the next attempt sees it.
    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<Revision, Error> {
        let writes = transaction.writes.clone();
        match self.transact_with_room(transaction).await {
            Ok(revision) => {
                self.take_in(writes, revision);
                Ok(revision)
            }
            Err(Error::Conflict { key }) => {
                self.refresh(&key).await?;
                Err(Error::Conflict { key })
            }
            Err(error) => Err(error),
        }
    }

    /// A full disk takes what must be written all the same: that is what the ballast is for.
    async fn transact_with_room(&self, transaction: Transaction) -> Result<Revision, Error> {
        for _ in 0..PIECES_GIVEN {
            match self.store.transact(transaction.clone()).await {
                Err(Error::Full { path, source }) => {
                    let beside = path.clone();
                    if !tasks::blocking("give ballast", move || ballast::give(&beside)).await {
                        return Err(Error::Full { path, source });
                    }
                }
                result => return result,
            }
        }
        self.store.transact(transaction).await
    }

    fn take_in(&self, writes: Vec<Write>, revision: Revision) {
        let heard = self.now();
        self.change(|mirror| {
            let mut news = false;
            for write in writes {
                news |= match write {
                    Write::Put { key, kind, body } => {
                        mirror.put(Document { key, revision, kind, body }, heard)
                    }
                    Write::Delete { key } => mirror.delete(&key, revision),
                };
            }
            news
        });
    }

    /// Reads one document of the store into the mirror, which may lag a moment behind what watchers were told.
    pub(crate) async fn refresh(&self, key: &str) -> Result<(), Error> {
        let revision = self.store.cursor().await?.revision;
        let document = self.store.get(key).await?;
        let heard = self.now();
        self.change(|mirror| match document {
            Some(document) => mirror.put(document, heard),
            None => mirror.delete(key, revision),
        });
        Ok(())
    }

    /// One value of the mirror with its revision, to be written back.
    pub(crate) fn get<T: Mirrored>(&self, key: &str) -> Option<Versioned<T>> {
        self.look(|mirror| mirror.get(key))
    }

    /// One value of the mirror.
    pub(crate) fn value<T: Mirrored>(&self, key: &str) -> Option<Arc<T>> {
        self.look(|mirror| mirror.value(key))
    }
}

/// Who does what to an environment, for the journal.
pub(crate) fn cause(actor: &str, action: &str, reason: impl Into<String>, place: &Place) -> Cause {
    Cause {
        actor: actor.to_owned(),
        action: action.to_owned(),
        reason: reason.into(),
        subject: place.to_string(),
    }
}
