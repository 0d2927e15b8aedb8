//! kill -9 at any moment: all that was acknowledged is there, whole, with its line in the journal.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tandem_kit::clock::Clock;

use super::open;
use crate::contract::transaction;
use crate::{Expect, JournalQuery, SharedStore};

const TEST: &str = "sqlite::crash_tests::killing_the_process_loses_nothing_that_was_acknowledged";

/// Set for the child, which is this very test in a process of its own: the file it writes to.
const CHILD_FILE: &str = "TANDEM_TEST_CHILD_FILE";

/// Writes until it is killed, and tells each acknowledged write on standard error.
async fn write_until_killed(path: OsString) {
    let store = open(path, Clock::system()).await.unwrap();
    let writers = (0..4).map(|writer| write_for_ever(&store, writer));
    futures_util::future::join_all(writers).await;
}

async fn write_for_ever(store: &SharedStore, writer: u32) {
    loop {
        let before = store.get(&format!("left/{writer}")).await.unwrap();
        let number = before.map_or(0, |document| document.body.as_u64().unwrap() + 1);
        let write = transaction()
            .put_value(format!("left/{writer}"), ("thing/1", json!(number)), Expect::Any)
            .put_value(format!("right/{writer}"), ("thing/1", json!(number)), Expect::Any)
            .put_value(format!("all/{writer}/{number}"), ("thing/1", json!(number)), Expect::Absent);
        let revision = store.transact(write).await.unwrap();
        eprintln!("done {revision} all/{writer}/{number} .");
    }
}

#[expect(clippy::disallowed_methods, reason = "the child is this very test program")]
fn start_child(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(CHILD_FILE, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets the child acknowledge some writes, kills it, and returns all that it acknowledged.
fn acknowledged(path: &Path, some: usize) -> Vec<(u64, String)> {
    let mut child = start_child(path);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut told: Vec<_> = lines.by_ref().take(some).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it told before it died is still in the pipe; the last line may be cut, and then has no dot.
    told.extend(lines);
    told.into_iter().filter_map(|line| read_line(&line.ok()?)).collect()
}

fn read_line(line: &str) -> Option<(u64, String)> {
    let words: Vec<_> = line.split(' ').skip_while(|word| *word != "done").collect();
    let ["done", revision, key, "."] = words.as_slice() else { return None };
    Some((revision.parse().ok()?, (*key).to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_process_loses_nothing_that_was_acknowledged() {
    if let Some(path) = std::env::var_os(CHILD_FILE) {
        return write_until_killed(path).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.sqlite3");
    let mut told = BTreeSet::new();
    for round in 0..5 {
        let more = acknowledged(&path, 20 + 37 * round);
        assert!(more.len() >= 20, "the child did not get to write: {more:?}");
        told.extend(more);
        let store = open(path.clone(), Clock::system()).await.unwrap();
        let newest = store.cursor().await.unwrap().revision.0;
        let journal = store.journal(JournalQuery::default()).await.unwrap();
        assert!(journal.iter().map(|entry| entry.revision.0).eq(1..=newest), "the journal has no hole");
        for (revision, key) in &told {
            let document = store.get(key).await.unwrap();
            assert_eq!(
                document.map(|document| document.revision.0),
                Some(*revision),
                "{key} was acknowledged"
            );
        }
        let left = store.list("left/").await.unwrap().documents;
        for document in left {
            let right = store.get(&document.key.replace("left", "right")).await.unwrap().unwrap();
            assert_eq!(document.body, right.body, "transactions are whole");
        }
    }
}
