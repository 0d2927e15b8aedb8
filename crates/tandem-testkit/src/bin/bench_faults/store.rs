//! Transactions that the store acknowledges in a second, each on the disk by then; beside them, a loop of plain SQLite
//! with the same settings, and the disk's own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tandem_kit::clock::Clock;
use tandem_kit::tasks;
use tandem_store::{Expect, SharedStore, Transaction, sqlite};
use tandem_testkit::bench::aims::Part;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{section, spread, table};
use tandem_testkit::program::Program;
use tandem_types::document::Cause;

use crate::Plan;
use crate::ground::Ground;

/// Writers at once in the second row.
const WRITERS: usize = 8;
/// Runs of each row, in turn.
const RUNS: usize = 5;
/// Bytes of the document that is written, about those of a rollout.
const BODY: usize = 1_000;
/// The reference: one insert of as many bytes a transaction. Its settings are those of the store.
const PLAIN: &str = r#"
import sqlite3, sys, time
path, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = sqlite3.connect(path, isolation_level=None)
store.execute("PRAGMA journal_mode = WAL")
store.execute("PRAGMA synchronous = FULL")
store.execute("CREATE TABLE thing (key TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")
body = "x" * size
begin = time.perf_counter()
for number in range(count):
    store.execute("INSERT INTO thing VALUES (?, ?)", (str(number), body))
print(count / (time.perf_counter() - begin))
"#;
/// The disk: as many bytes appended and synced.
const DISK: &str = r#"
import os, sys, time
path, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
begin = time.perf_counter()
for number in range(count):
    os.write(file, b"x" * size)
    os.fdatasync(file)
print(count / (time.perf_counter() - begin))
"#;

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, ground: &Ground) -> anyhow::Result<Part> {
    let (mut one, mut many, mut plain, mut disk) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        say(&format!("transactions of the store, run {} of {RUNS}", run + 1));
        one.push(transactions(ground, (1, plan.transactions))?);
        plain.push(script(PLAIN, ground, plan.transactions)?);
        many.push(transactions(ground, (WRITERS, plan.transactions))?);
        disk.push(script(DISK, ground, plan.transactions)?);
    }
    let text = format!(
        "{} transactions a writer, {RUNS} runs of each row in turn, each on a new file. A transaction of the store writes one document of \
         {BODY} bytes and its line of the journal, checks what it expects, and is acknowledged when it is on the disk. The \
         reference inserts one row of {BODY} bytes a transaction from one thread of Python, with SQLite's write-ahead log and \
         `synchronous = FULL` as well; the last row appends as many bytes to a file and syncs it.",
        plan.transactions
    );
    let row = |name: &str, rates: &[f64]| vec![name.to_owned(), spread(rates, 0)];
    let rows = [
        row("store, one writer", &one),
        row(&format!("store, {WRITERS} writers at once, together"), &many),
        row("plain SQLite, one writer", &plain),
        row("append and sync, one writer", &disk),
    ];
    let text = section("The store", &text) + &table(&["", "transactions a second"], &rows);
    Ok(Part { text, aims: Vec::new(), failed: 0 })
}

fn script(text: &str, ground: &Ground, count: usize) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir_in(ground.scratch()).context("make a folder")?;
    let (count, size) = (count.to_string(), BODY.to_string());
    let path = folder.path().join("file");
    let program = Program::new("/usr/bin/python3").arguments(["-c", text]).arguments([&path]);
    let outcome = program.arguments([count, size]).run().expect_success();
    outcome.stdout.trim().parse().context("read the rate")
}

fn transactions(ground: &Ground, (writers, count): (usize, usize)) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir_in(ground.scratch()).context("make a folder")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let took = runtime.block_on(write(folder.path(), (writers, count)))?;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let all = (writers * count) as f64;
    Ok(all / took.as_secs_f64())
}

async fn write(folder: &Path, (writers, count): (usize, usize)) -> anyhow::Result<Duration> {
    let clock = Clock::system();
    let store = sqlite::open(folder.join("tandem.sqlite3"), clock.clone()).await?;
    let begin = clock.monotonic();
    let writers = (0..writers).map(|writer| {
        let store = Arc::clone(&store);
        let (done, ended) = tokio::sync::oneshot::channel();
        let task = tasks::owned("writer", async move {
            let _ = done.send(one_writer(&store, (writer, count)).await);
        });
        (task, ended)
    });
    let writers: Vec<_> = writers.collect();
    for (_task, ended) in writers {
        ended.await.context("a writer ends")??;
    }
    Ok(clock.monotonic().elapsed_since(begin))
}

async fn one_writer(store: &SharedStore, (writer, count): (usize, usize)) -> anyhow::Result<()> {
    let text = "x".repeat(BODY);
    for number in 0..count {
        let cause = Cause {
            actor: format!("system:writer-{writer}"),
            action: "thing.create".to_owned(),
            reason: String::new(),
            subject: "guestbook/production".to_owned(),
        };
        let key = format!("things/{writer}/{number}");
        store
            .transact(Transaction::new(cause).put_value(key, ("thing/1", json!(text)), Expect::Absent))
            .await?;
    }
    Ok(())
}
