//! A restore is whole or has not happened, and what comes after it is told apart from what was before.

use tandem_types::Span;

use super::*;
use crate::contract::{Engine as _, Told, put, until_live, watch};
use crate::sqlite::snapshots::{Reason, Snapshots};
use crate::sqlite::tests::Sqlite;

/// A store with a snapshot of `a` = 1, in which `a` is 2 by now.
async fn with_snapshot() -> (Sqlite, PathBuf) {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    put(&store, "a", 1).await;
    store.acquire("rollouts", "one", Span::seconds(30)).await.unwrap().unwrap();
    let time = "2026-11-21T12:00:00Z".parse().unwrap();
    let taken = Snapshots::of(sqlite.path()).take(Reason::Manual, "0.1.0", time).unwrap();
    put(&store, "a", 2).await;
    put(&store, "b", 2).await;
    (sqlite, taken.path)
}

fn aside(sqlite: &Sqlite) -> PathBuf {
    sqlite.path().with_extension("aside")
}

#[tokio::test]
async fn what_is_restored_is_another_life_with_greater_numbers() {
    let (sqlite, snapshot) = with_snapshot().await;
    let store = sqlite.open().await;
    let (cursor, lease) =
        (store.cursor().await.unwrap(), store.acquire("rollouts", "one", Span::seconds(30)));
    let lease = lease.await.unwrap().unwrap();
    drop(store);
    prepare(&sqlite.path(), &snapshot).unwrap().take_place(&aside(&sqlite)).unwrap();

    let store = sqlite.open().await;
    let after = store.cursor().await.unwrap();
    assert_ne!(after.incarnation, cursor.incarnation);
    assert!(after.revision > cursor.revision, "{after:?} follows {cursor:?}");
    let told = until_live(&mut watch(&store, "", Some(cursor)).await).await.0;
    assert_eq!(told, [Told::Reset, Told::Put("a".to_owned(), 1.into())]);
    let next = store.acquire("rollouts", "one", Span::seconds(30)).await.unwrap().unwrap();
    assert!(next.fence > lease.fence, "{next:?} fences off {lease:?}");
    assert!(put(&store, "a", 3).await > after.revision);
    drop(store);
    let checked = crate::sqlite::check(&sqlite.path(), |_| Ok(())).unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
    let old = Connection::open(aside(&sqlite)).unwrap();
    let body: String =
        old.query_row("SELECT body FROM documents WHERE key = 'b'", [], |row| row.get(0)).unwrap();
    assert_eq!(body, "2", "what was there is kept aside, with its log");
}

/// The steps of a restore, each with what is there when the machine dies behind it.
#[tokio::test]
async fn a_cut_at_any_step_leaves_the_old_store_or_the_new() {
    for steps in 0..5 {
        let (sqlite, snapshot) = with_snapshot().await;
        let path = sqlite.path();
        prepare(&path, &snapshot).unwrap();
        let (new, restored) = (beside(&path, ".new"), beside(&path, ".restored"));
        if steps >= 1 {
            std::fs::hard_link(&path, aside(&sqlite)).unwrap();
        }
        if steps >= 2 {
            fold_log(&new).unwrap();
            std::fs::rename(&new, &restored).unwrap();
        }
        if steps >= 3 {
            remove(&beside(&path, "-wal")).unwrap();
        }
        if steps >= 4 {
            std::fs::rename(&restored, &path).unwrap();
        }
        let store = sqlite.open().await;
        let body = store.get("a").await.unwrap().unwrap().body;
        assert_eq!(body, if steps >= 2 { 1 } else { 2 }, "after {steps} steps");
        assert!(!restored.exists());
        drop(store);
        prepare(&path, &snapshot).unwrap().take_place(&aside(&sqlite).with_extension("2")).unwrap();
        assert_eq!(sqlite.open().await.get("a").await.unwrap().unwrap().body, 1);
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_the_store_stays() {
    let (sqlite, snapshot) = with_snapshot().await;
    let mut file = OpenOptions::new().write(true).open(&snapshot).unwrap();
    io::Seek::seek(&mut file, io::SeekFrom::Start(4096)).unwrap();
    io::Write::write_all(&mut file, &[0xa5; 4096]).unwrap();
    let error = prepare(&sqlite.path(), &snapshot).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert_eq!(sqlite.open().await.get("a").await.unwrap().unwrap().body, 2);
}

#[tokio::test]
async fn a_store_that_is_gone_can_be_restored_too() {
    let (sqlite, snapshot) = with_snapshot().await;
    clear(&sqlite.path()).unwrap();
    prepare(&sqlite.path(), &snapshot).unwrap().take_place(&aside(&sqlite)).unwrap();
    assert_eq!(sqlite.open().await.get("a").await.unwrap().unwrap().body, 1);
    assert!(!aside(&sqlite).exists());
}

#[tokio::test]
async fn what_can_be_read_of_a_damaged_store_is_read() {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    for number in 0..200 {
        put(&store, &format!("n/{number}"), "x".repeat(2_000)).await;
    }
    drop(store);
    assert_eq!(readable_documents(&sqlite.path()).len(), 400, "a whole one is read from both ends");
    let mut file = OpenOptions::new().write(true).open(sqlite.path()).unwrap();
    io::Seek::seek(&mut file, io::SeekFrom::Start(60 * 4096)).unwrap();
    io::Write::write_all(&mut file, &[0xa5; 4096]).unwrap();
    let readable = readable_documents(&sqlite.path()).len();
    assert!((100..400).contains(&readable), "{readable}");
    sqlite.damage();
    assert_eq!(readable_documents(&sqlite.path()), []);
}
