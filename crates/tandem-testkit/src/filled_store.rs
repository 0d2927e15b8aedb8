//! A store as a busy team leaves it after years: thousands of releases in its journal, the latest of them as documents.
//!
//! For measuring how long a server takes to come back with it, and how many transactions a second it takes. Documents are of
//! the real kinds, so `tandem up` starts on it; nothing runs, and no blob is behind the builds.

use std::path::Path;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tandem_kit::clock::Clock;
use tandem_store::{Expect, SharedStore, Transaction, sqlite};
use tandem_types::document::Cause;

/// Transactions that wait for one sync together.
const TOGETHER: usize = 64;
/// Transactions of a deploy that are written: asked for, built, done. A real one takes about twenty.
const STEPS: usize = 3;

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Filling {
    /// Releases in the journal, three entries each.
    pub releases: u64,
    /// The latest ones that are documents still, each with its build and its rollout.
    pub listed: u64,
}

/// Fills the store in a file, which is made where it is not there. Nobody else has it open.
///
/// # Errors
/// The store refuses.
pub async fn fill(database: &Path, filling: Filling) -> anyhow::Result<()> {
    let store = sqlite::open(database, Clock::system()).await.context("open the store")?;
    write(&store, head(filling)).await?;
    let numbers = 1..=filling.releases;
    let all = numbers.flat_map(|number| (0..STEPS).map(move |step| transaction(number, step, filling)));
    let written = stream::iter(all).map(|one| write(&store, one)).buffered(TOGETHER);
    written.try_for_each(|()| async { Ok(()) }).await
}

/// Writes one small document again and again, one transaction after the other; each waits for its own sync.
///
/// # Errors
/// The store refuses.
pub async fn write_one_by_one(store: &SharedStore, transactions: u64) -> anyhow::Result<()> {
    for number in 0..transactions {
        write(store, put(cause("bench.write"), "bench/one", ("bench/1", json!(number)))).await?;
    }
    Ok(())
}

/// The same with as many under way as the store takes into one sync.
///
/// # Errors
/// The store refuses.
pub async fn write_together(store: &SharedStore, transactions: u64) -> anyhow::Result<()> {
    let one = |number: u64| {
        let key = format!("bench/{}", number % TOGETHER as u64);
        write(store, put(cause("bench.write"), key, ("bench/1", json!(number))))
    };
    let written = stream::iter(0..transactions).map(one).buffer_unordered(TOGETHER);
    written.try_for_each(|()| async { Ok(()) }).await
}

async fn write(store: &SharedStore, transaction: Transaction) -> anyhow::Result<()> {
    store.transact(transaction).await.map(drop).context("write to the store")
}

fn cause(action: &str) -> Transaction {
    let (actor, subject) = ("unix:root".to_owned(), "filled/production".to_owned());
    Transaction::new(Cause { actor, action: action.to_owned(), reason: String::new(), subject })
}

fn put(transaction: Transaction, key: impl Into<String>, value: (&str, Value)) -> Transaction {
    transaction.put_value(key, value, Expect::Any)
}

const TIME: &str = "2026-11-21T12:00:00Z";

/// The app, its environment and the installation, with their counters behind all releases.
fn head(filling: Filling) -> Transaction {
    let next = filling.releases + 1;
    let app = json!({"name": "filled", "created": TIME, "next_build": format!("b{next}")});
    let environment = json!({
        "app": "filled", "name": "production", "uid": 70_000, "next_release": format!("r{next}"),
        "next_rollout": format!("ro{next}"), "created": TIME,
    });
    let installation = json!({"next_instance": "i1", "next_job": "j1", "next_uid": 70_001});
    let all = put(cause("app.create"), "apps/filled", ("app/2", app));
    let all = put(all, "apps/filled/envs/production", ("environment/1", environment));
    put(all, "installation", ("installation/1", installation))
}

fn transaction(number: u64, step: usize, filling: Filling) -> Transaction {
    let is_listed = number + filling.listed > filling.releases;
    let (action, key, value) = match step {
        0 => {
            ("deploy.start", format!("envs/production/rollouts/{number:010}"), ("rollout/1", rollout(number)))
        }
        1 => ("rollout.step", format!("builds/{number:010}"), ("build/1", build(number))),
        _ => {
            ("rollout.step", format!("envs/production/releases/{number:010}"), ("release/1", release(number)))
        }
    };
    let all = cause(action);
    if is_listed { put(all, format!("apps/filled/{key}"), value) } else { all.noted() }
}

fn release(number: u64) -> Value {
    let values: serde_json::Map<_, _> = (0..10).map(|n| (format!("VARIABLE_{n}"), sealed())).collect();
    json!({
        "app": "filled", "environment": "production", "number": format!("r{number}"), "build": format!("b{number}"),
        "config": {"values": values}, "cause": {"actor": "unix:root", "action": "deploy.start"},
        "message": "change one line", "created": TIME, "rollout": format!("ro{number}"), "status": "superseded",
    })
}

/// About as long as a sealed value of 30 bytes is.
fn sealed() -> Value {
    json!({"ciphertext": "A".repeat(320), "digest": "0123456789ab"})
}

fn build(number: u64) -> Value {
    let digest = format!("{number:064x}");
    let subtree = |name: &str, mount: &str| json!({"name": name, "mount": mount, "tree": digest, "bytes": 70_000_000, "files": 7_000});
    json!({
        "app": "filled", "number": format!("b{number}"), "digest": digest, "created": TIME, "duration": "2s",
        "subtrees": [subtree("app", "/app"), subtree("dependencies", "/app/.venv")],
        "spec": {"processes": {"web": {
            "command": "gunicorn filled.wsgi", "health": "/", "instances": 2, "memory_bytes": 536_870_912, "pids": 512,
            "stop_timeout": "30s",
        }}},
        "source": {"commit": "0123456789012345678901234567890123456789", "branch": "main", "subject": "change one line"},
    })
}

fn rollout(number: u64) -> Value {
    let states = [
        "queued",
        "building",
        "staging",
        "smoking",
        "releasing",
        "starting",
        "preparing",
        "committing",
        "draining",
    ];
    let steps: Vec<_> =
        states.iter().map(|state| json!({"state": state, "started": TIME, "finished": TIME})).collect();
    json!({
        "app": "filled", "environment": "production", "number": format!("ro{number}"), "kind": "deploy",
        "cause": {"actor": "unix:root", "action": "deploy.start"}, "to": format!("r{number}"), "build": format!("b{number}"),
        "state": "completed", "steps": steps, "soak": "0s", "verdict": "pass", "created": TIME, "finished": TIME,
    })
}

#[cfg(test)]
mod tests {
    use tandem_store::sqlite::check;
    use tandem_types::build::Build;
    use tandem_types::release::Release;
    use tandem_types::rollout::Rollout;

    use super::*;

    #[tokio::test]
    async fn what_is_filled_in_is_a_whole_store_of_real_documents() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("tandem.sqlite3");
        fill(&database, Filling { releases: 20, listed: 5 }).await.unwrap();
        let checked = check(&database, |_| Ok(())).unwrap();
        assert_eq!((checked.problems.len(), checked.journal_entries), (0, 61));
        assert_eq!(checked.documents["release/1"], 5);
        serde_json::from_value::<Release>(release(7)).unwrap();
        serde_json::from_value::<Rollout>(rollout(7)).unwrap();
        serde_json::from_value::<Build>(build(7)).unwrap();
    }
}
