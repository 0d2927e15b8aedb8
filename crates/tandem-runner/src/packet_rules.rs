//! Keeps apps of this host away from each other's ports and from Tandem's own, by packet rules.
//!
//! What should be lies here as a map of instances; every change writes the whole into the kernel, so that a rule never
//! outlives a crash, and again every minute, since a firewall that is loaded anew drops what others wrote. Changes that
//! come together are written together. A host without nft goes on without rules and reports that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_kit::error::chain;
use tandem_sandbox::packet_rules::{Error, Guarded, Tables};
use tandem_types::InstanceId;
use tandem_types::instance::Isolation;
use tokio::sync::watch;

use crate::board::Board;

/// How long a host may be without rules after somebody loaded a firewall of theirs.
const AGAIN: Duration = Duration::from_secs(60);

/// Handle on the rules, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct PacketRules(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tables: Tables,
    board: Board,
    /// False where all processes have one user anyway: no rule could tell them apart.
    active: bool,
    closed: watch::Receiver<BTreeSet<u16>>,
    wanted: Mutex<Wanted>,
    /// Held while nft runs.
    written: tokio::sync::Mutex<Written>,
}

#[derive(Debug, Default)]
struct Wanted {
    instances: BTreeMap<InstanceId, (u16, u32)>,
    /// Counts the changes.
    change: u64,
}

#[derive(Debug, Default)]
struct Written {
    /// The last change that was written, or tried.
    change: u64,
    /// Everything has ended and the tables are gone.
    removed: bool,
}

impl PacketRules {
    /// Rules that close these ports to all apps; nothing is written yet.
    pub(crate) fn new(
        tables: Tables,
        board: Board,
        isolation: Isolation,
        closed: watch::Receiver<BTreeSet<u16>>,
    ) -> Self {
        let active = isolation == Isolation::Sandbox;
        let (wanted, written) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Inner { tables, board, active, closed, wanted, written }))
    }

    /// Writes the rules for what an earlier process left running, in place of those it wrote.
    pub(crate) async fn start(&self, instances: BTreeMap<InstanceId, (u16, u32)>) {
        self.change(|wanted| {
            wanted.instances = instances;
            true
        })
        .await;
    }

    /// Leaves a port to the user of its instance alone. On return the rule is in the kernel, if there can be one.
    pub(crate) async fn guard(&self, instance: InstanceId, port: u16, uid: u32) {
        self.change(|wanted| wanted.instances.insert(instance, (port, uid)) != Some((port, uid))).await;
    }

    /// Opens the port of an instance that is no more.
    pub(crate) async fn release(&self, instance: InstanceId) {
        self.change(|wanted| wanted.instances.remove(&instance).is_some()).await;
    }

    /// Removes all rules of this data folder, for good: nothing runs any more.
    pub(crate) async fn remove(&self) {
        if !self.0.active {
            return;
        }
        let mut written = self.0.written.lock().await;
        written.removed = true;
        match self.0.tables.remove().await {
            Ok(()) | Err(Error::Missing) => {}
            Err(error) => tracing::warn!("could not remove the packet rules: {}", chain(&error)),
        }
    }

    /// Writes the rules again and again, and when other ports are to be closed.
    pub(crate) async fn keep(self) {
        // A clone of one that nobody looked at: changes of before this task was started are news to it too.
        let mut closed = self.0.closed.clone();
        loop {
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = another(&mut closed) => {}
            }
            self.change(|_| true).await;
        }
    }

    /// Writes what is wanted, unless the edit changes nothing (false) and that was written already, or tried.
    async fn change(&self, edit: impl FnOnce(&mut Wanted) -> bool) {
        if !self.0.active {
            return;
        }
        let change = {
            let mut wanted = self.wanted();
            if edit(&mut wanted) {
                wanted.change += 1;
            }
            wanted.change
        };
        let mut written = self.0.written.lock().await;
        if written.change >= change || written.removed {
            return;
        }
        let (guarded, latest) = self.guarded();
        let result = self.0.tables.guard_instances(&guarded).await;
        written.change = latest;
        self.tell(result);
    }

    fn guarded(&self) -> (Guarded, u64) {
        let wanted = self.wanted();
        let mut owned: BTreeMap<u16, BTreeSet<u32>> = BTreeMap::new();
        for (port, uid) in wanted.instances.values() {
            owned.entry(*port).or_default().insert(*uid);
        }
        (Guarded { closed: self.0.closed.borrow().clone(), owned }, wanted.change)
    }

    /// Once per problem: an installation without nft would fill its log otherwise.
    fn tell(&self, result: Result<(), Error>) {
        let problem = result.err().map(|error| {
            format!("each app reaches other apps' ports and Tandem's API on the loopback: {}", chain(&error))
        });
        if self.0.board.put_packet_rules(problem.clone()) {
            match problem {
                Some(problem) => tracing::warn!("NO PACKET RULES: {problem}"),
                None => tracing::info!("packet rules keep apps away from each other's ports"),
            }
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for other ports; for ever where nobody is left to name some.
async fn another(closed: &mut watch::Receiver<BTreeSet<u16>>) {
    if closed.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::host;

    fn rules(isolation: Isolation) -> (PacketRules, tandem_kit::paths::DataDir, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("there is room");
        let data = tandem_kit::paths::DataDir::open(folder.path()).expect("there is room");
        let closed = watch::channel(BTreeSet::from([7070])).1;
        (PacketRules::new(Tables::of(&data), Board::default(), isolation, closed), data, folder)
    }

    #[test]
    fn a_host_without_rules_says_so_in_its_report_until_it_has_them() {
        let (rules, data, _folder) = rules(Isolation::Sandbox);
        let gaps = || rules.0.board.look(|sheet| sheet.observation(&host()).isolation_gaps);
        rules.tell(Err(Error::Missing));
        let gap = "each app reaches other apps' ports and Tandem's API on the loopback: nft is missing: apt-get install nftables";
        assert_eq!(gaps(), [gap]);
        rules.tell(Ok(()));
        assert_eq!(gaps(), Vec::<String>::new());
        data.remove_runtime().expect("it is ours");
    }

    #[tokio::test]
    async fn plain_processes_have_no_rules_and_no_second_complaint() {
        let (rules, data, _folder) = rules(Isolation::Plain);
        rules.guard(InstanceId(1), 20_000, 70_000).await;
        assert!(rules.wanted().instances.is_empty());
        assert!(rules.0.board.look(|sheet| sheet.no_packet_rules.is_none()));
        data.remove_runtime().expect("it is ours");
    }

    #[test]
    fn every_instance_keeps_its_port_for_its_user_until_it_is_released() {
        let (rules, data, _folder) = rules(Isolation::Sandbox);
        let edit = |edit: &dyn Fn(&mut Wanted)| edit(&mut rules.wanted());
        edit(&|wanted| {
            wanted.instances.insert(InstanceId(1), (20_000, 70_000));
        });
        // The port was taken back and given on before the rule of its first instance went.
        edit(&|wanted| {
            wanted.instances.insert(InstanceId(2), (20_000, 70_001));
        });
        let owned = rules.guarded().0.owned;
        assert_eq!(owned, BTreeMap::from([(20_000, BTreeSet::from([70_000, 70_001]))]));
        edit(&|wanted| {
            wanted.instances.remove(&InstanceId(1));
        });
        assert_eq!(rules.guarded().0.owned, BTreeMap::from([(20_000, BTreeSet::from([70_001]))]));
        assert_eq!(rules.guarded().0.closed, BTreeSet::from([7070]));
        data.remove_runtime().expect("it is ours");
    }
}
