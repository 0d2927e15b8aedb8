//! `tandem store restore`: a snapshot takes the place of the store, and learns what has happened since.
//!
//! Nothing that runs is touched. The new store is made beside the old one, told what outlived it (decision 014), checked,
//! and put in its place in one step; so an end at any moment leaves the old store or the new.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tandem_kit::clock::Clock;
use tandem_kit::files;
use tandem_kit::paths::DataDir;
use tandem_kit::stamp::{self, Stamp};
use tandem_kit::tasks;
use tandem_rules::Change;
use tandem_rules::restore::{self as rules, Documents, Evidence, Plan};
use tandem_store::sqlite::Checked;
use tandem_store::sqlite::restore::{Prepared, prepare};
use tandem_store::sqlite::snapshots::{Reason, Snapshots};
use tandem_store::{Expect, Transaction, sqlite};
use tandem_types::document::Cause;

use super::check::{is_known, understand};
use super::{data, evidence, failed, list};
use crate::cli::confirm::{Deed, confirm};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::roles::Holder;
use crate::session::Session;

/// Arguments of `store restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Apps and balancer go on while it works and after it: what runs is adopted, releases that the
snapshot does not know get their documents back, and numbers go on beyond all that were given out.
What was only written down since the snapshot (config that no release has yet, tokens, journal) is
lost. A snapshot that a newer version took is not the latest and is refused.

The store that was there is kept beside the new one, under a name that is printed. Where it is
whole, the name of the snapshot has to be confirmed.

Examples:
  tandem store restore                       the latest snapshot
  tandem store restore --list                which there are
  tandem store restore 20261121T120000Z_812_hourly_0.1.0.sqlite3")]
pub(crate) struct Args {
    /// A snapshot of the list, or any copy of the store [default: the latest]
    #[arg(value_name = "SNAPSHOT")]
    snapshot: Option<PathBuf>,
    /// List the snapshots and change nothing
    #[arg(long)]
    list: bool,
    /// The snapshot's name once more, where the store is whole
    #[arg(long, value_name = "SNAPSHOT")]
    confirm: Option<String>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Restored {
    snapshot: PathBuf,
    /// Where the store that was there is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<PathBuf>,
    /// What people should know.
    notes: Vec<String>,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let data = data(session)?;
    let snapshots = Snapshots::of(data.database());
    if args.list {
        let all = snapshots.list().map_err(|error| failed(&error))?;
        let style = session.output.data_style();
        session.output.show(&all, |all| list::table(all, style))?;
        return Ok(Exit::Done);
    }
    let lock = files::lock_exclusive(&data.lock()).map_err(|e| Failure::chain("lock the data folder", &e))?;
    let _lock = lock.ok_or_else(|| runs(&data))?;
    sqlite::restore::finish(&data.database()).map_err(|error| failed(&error))?;
    let snapshot = list::find(&snapshots, args.snapshot, data.root())?;
    ask(session, (&data, &snapshot), args.confirm)?;
    let restored = tasks::blocking("restore", {
        let (data, clock, actor) = (data.clone(), session.clock.clone(), actor());
        let runtime = tokio::runtime::Handle::current();
        move || runtime.block_on(restore(&data, snapshot, (clock, actor)))
    });
    let restored = restored.await?;
    tell(session, &restored)?;
    Ok(Exit::Done)
}

/// Somebody has the store open.
fn runs(data: &DataDir) -> Failure {
    let folder = data.root().display();
    let (names, pids): (Vec<_>, Vec<_>) = Holder::all(data.runtime()).into_iter().unzip();
    let pids = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let (who, verb, how) = match names.as_slice() {
        [] => ("`tandem up`".to_owned(), "runs", "SIGTERM".to_owned()),
        [one] => (one.clone(), "runs", format!("`kill {pids}`")),
        several => (several.join(" and "), "run", format!("`kill {pids}`")),
    };
    Failure::new(format!("{who} {verb} on the data folder {folder}")).code("is_running").hint(format!(
        "end it with {how}, which leaves apps and balancer running, then type `tandem store restore --data {folder}` again"
    ))
}

/// A store that is whole is not replaced by accident.
fn ask(session: &Session, (data, snapshot): (&DataDir, &Path), said: Option<String>) -> Result<(), Failure> {
    let database = data.database();
    let whole = sqlite::check(&database, understand).is_ok_and(|checked| checked.problems.is_empty());
    if !whole {
        return Ok(());
    }
    let name = snapshot.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let deed = Deed {
        name: &name,
        warning: format!(
            "The store {} is whole. This puts an older state in its place and keeps it under another name.",
            database.display()
        ),
        refusal: "the store is whole and was not replaced".to_owned(),
        verb: "store restore",
    };
    confirm(session, &deed, said).map_err(|failure| {
        failure.hint(format!(
            "type `tandem store restore {name} --confirm {name} --data {}` to put the older state back all the same",
            data.root().display()
        ))
    })
}

/// Who the journal says it was.
fn actor() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
    format!("unix:{}", user.map_or_else(|| nix::unistd::Uid::effective().to_string(), |user| user.name))
}

async fn restore(
    data: &DataDir,
    snapshot: PathBuf,
    (clock, actor): (Clock, String),
) -> Result<Restored, Failure> {
    let remembered =
        tandem_runner::remembered(data).map_err(|e| Failure::chain("read what runs here", &e))?;
    if let Some((app, environment, job)) = &remembered.release_phase {
        return Err(Failure::new(format!("the release phase of {app}/{environment} runs ({job})"))
            .code("release_phase_runs")
            .hint("wait until it has ended, then type this again: what the snapshot does not know would be stopped"));
    }
    let database = data.database();
    let taken = sqlite::check(&snapshot, |_| Ok(())).map_err(|error| damaged_snapshot(&error))?;
    ensure_known(&taken, &snapshot, data.root())?;
    let evidence = evidence::gather(data, remembered, taken.revision)?;
    let prepared = prepare(&database, &snapshot).map_err(|error| damaged_snapshot(&error))?;
    let time = clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let aside = database.with_extension(format!("sqlite3.damaged-{time}"));
    let kept = database.exists().then(|| aside.clone());
    let cause = Cause {
        actor,
        action: "store.restore".to_owned(),
        reason: reason(&snapshot, kept.as_deref()),
        subject: String::new(),
    };
    let notes = bring_up_to_date(&prepared, &evidence, (clock, cause)).await?;
    prepared.take_place(&aside).map_err(|error| failed(&error))?;
    own_stamp(data)?;
    Ok(Restored { snapshot, kept, notes })
}

fn reason(snapshot: &Path, kept: Option<&Path>) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kept = kept.map(|kept| format!("; what was there is {}", name(kept))).unwrap_or_default();
    format!("from {}{kept}", name(snapshot))
}

/// Refuses a newer version's documents, whatever the file is called: a server of this one would start on them and then be refused
/// each write of one (decision 018). A newer version that changed no kind has changed the format of the file, which is refused
/// when it is opened, or something outside of the store, which no copy brings along.
fn ensure_known(taken: &Checked, snapshot: &Path, root: &Path) -> Result<(), Failure> {
    match taken.documents.keys().find(|kind| !is_known(kind)) {
        Some(kind) => Err(list::newer(snapshot, &format!("has documents of a newer version ({kind})"), root)),
        None => Ok(()),
    }
}

fn damaged_snapshot(error: &tandem_store::Error) -> Failure {
    failed(error).hint(
        "`tandem store restore --list` shows the others; `tandem store restore SNAPSHOT` takes one of them",
    )
}

/// Tells the new store what outlived the old one, in one transaction.
async fn bring_up_to_date(
    prepared: &Prepared,
    evidence: &Evidence,
    (clock, cause): (Clock, Cause),
) -> Result<Vec<String>, Failure> {
    let now = clock.now();
    let store = sqlite::open(prepared.path(), clock).await.map_err(|error| failed(&error))?;
    let listing = store.list("").await.map_err(|error| failed(&error))?;
    let mut documents = Documents::default();
    listing.documents.iter().for_each(|document| documents.add(document));
    let Plan { changes, notes } = rules::plan(&documents, evidence, now);
    let transaction = changes.iter().fold(Transaction::new(cause).noted(), put);
    store.transact(transaction).await.map_err(|error| failed(&error))?;
    Ok(notes)
}

fn put(transaction: Transaction, change: &Change) -> Transaction {
    let key = change.key();
    match change {
        Change::App(value) => transaction.put(key, &**value, Expect::Any),
        Change::Environment(value) => transaction.put(key, &**value, Expect::Any),
        Change::Installation(value) => transaction.put(key, &**value, Expect::Any),
        Change::Build(value) => transaction.put(key, &**value, Expect::Any),
        Change::Release(value) => transaction.put(key, &**value, Expect::Any),
        Change::Rollout(value) => transaction.put(key, &**value, Expect::Any),
        Change::Session(value) => transaction.put(key, &**value, Expect::Any),
        Change::Assignment(_, value) => transaction.put(key, &**value, Expect::Any),
        Change::Routing(value) => transaction.put(key, &**value, Expect::Any),
    }
}

/// A newer version's folder becomes this version's: that is what its snapshot was for.
fn own_stamp(data: &DataDir) -> Result<(), Failure> {
    if stamp::check(data.root()).is_ok() {
        return Ok(());
    }
    Stamp::current().write(data.root()).map_err(|e| Failure::chain("write this version's stamp", &e))?;
    let stamp = data.root().join("stamp.json");
    sqlite::owner::give(&stamp, &data.database())
        .map_err(|e| Failure::chain("hand this version's stamp over", &e))
}

fn tell(session: &Session, restored: &Restored) -> Result<(), Failure> {
    session.output.show(restored, |restored| {
        let name = restored.snapshot.file_name().unwrap_or_default().to_string_lossy();
        format!("restored from {name}\n")
    })?;
    if let Some(kept) = &restored.kept {
        session.output.note(format!("the store that was there is now {}", kept.display()));
    }
    restored.notes.iter().for_each(|note| session.output.note(note));
    session.output.note(
        "config and tokens are those of the snapshot: look through `tandem config list` and `tandem token list`",
    );
    session.output.note("start `tandem up` again: it adopts what runs");
    Ok(())
}

/// Before another version opens the store for the first time: the way back.
pub(crate) async fn keep_before_upgrade(data: &DataDir, previous: &str, clock: &Clock) {
    let (snapshots, previous, now) = (Snapshots::of(data.database()), previous.to_owned(), clock.now());
    let database = data.database();
    let take = move || {
        sqlite::restore::finish(&database)?;
        database.exists().then(|| snapshots.take(Reason::Upgrade, &previous, now)).transpose()
    };
    match tasks::blocking("snapshot before the upgrade", take).await {
        Ok(None) => {}
        Ok(Some(taken)) => {
            tracing::info!("kept the store as it was before the upgrade: {}", taken.path.display());
        }
        // The start itself tells of damage and of a full disk; to keep everything down for want of a copy helps nobody.
        Err(error) => {
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            tracing::warn!(
                "the upgrade goes on without a snapshot from before it, by which people go back: failed to {}{hint}",
                crate::failure::chain_of(&error)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_copy_with_documents_of_a_newer_version_is_refused_whatever_it_is_called() {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("copy.sqlite3");
        let store = sqlite::open(&copy, Clock::system()).await.expect("a store");
        let mut known = Vec::new();
        for (key, kind) in [("apps/shop", "app/1"), ("apps/blog", "app/4000000000")] {
            let cause = Cause {
                actor: "unix:me".to_owned(),
                action: "test".to_owned(),
                reason: String::new(),
                subject: String::new(),
            };
            let put = Transaction::new(cause).put_value(key, (kind, json!({})), Expect::Absent);
            store.transact(put).await.expect("it is written");
            let taken = sqlite::check(&copy, |_| Ok(())).expect("it can be read");
            known.push(ensure_known(&taken, &copy, folder.path()));
        }
        assert!(known[0].is_ok());
        assert_eq!(known[1].as_ref().err().and_then(Failure::code_is), Some("newer_snapshot"));
    }
}
