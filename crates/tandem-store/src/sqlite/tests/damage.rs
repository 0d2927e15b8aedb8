//! Damaged files: told by name, never taken for good.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use super::{Sqlite, open};
use crate::Error;
use crate::contract::{Engine as _, put};
use crate::sqlite::check;
use crate::sqlite::snapshots::{Reason, Snapshots};

const PAGE: u64 = 4096;

/// A closed store of some dozen pages.
async fn filled() -> Sqlite {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    for number in 0..20 {
        put(&store, &format!("n/{number}"), "x".repeat(5_000)).await;
    }
    drop(store);
    let length = std::fs::metadata(sqlite.path()).unwrap().len();
    assert!(length > 20 * PAGE, "the log went into the file when it was closed: {length}");
    sqlite
}

fn overwrite(sqlite: &Sqlite, page: u64) {
    let mut file = OpenOptions::new().write(true).open(sqlite.path()).unwrap();
    file.seek(SeekFrom::Start(page * PAGE)).unwrap();
    file.write_all(&[0xa5; PAGE as usize]).unwrap();
}

async fn is_told(sqlite: &Sqlite) {
    let opened = open(sqlite.path(), sqlite.clock.clone()).await;
    let Err(error) = opened else { panic!("a damaged file was taken for good") };
    assert!(matches!(&error, Error::Corrupt { path, .. } if *path == sqlite.path()), "{error:?}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_damaged_head_is_told() {
    let sqlite = filled().await;
    overwrite(&sqlite, 0);
    is_told(&sqlite).await;
}

#[tokio::test]
async fn a_damaged_block_is_told() {
    for page in [1, 2, 3] {
        let sqlite = filled().await;
        overwrite(&sqlite, page);
        is_told(&sqlite).await;
    }
}

#[tokio::test]
async fn a_lost_tail_is_told() {
    let sqlite = filled().await;
    let length = std::fs::metadata(sqlite.path()).unwrap().len();
    for keep in [length - PAGE, length / 2, PAGE, 100] {
        OpenOptions::new().write(true).open(sqlite.path()).unwrap().set_len(keep).unwrap();
        is_told(&sqlite).await;
    }
}

#[tokio::test]
async fn damage_that_comes_later_is_told_by_what_meets_it() {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    put(&store, "good", 1).await;
    put(&store, "bad", 1).await;
    drop(store);
    sqlite.raw().execute("UPDATE documents SET body = '{' WHERE key = 'bad'", []).unwrap();
    let store = sqlite.open().await;
    assert!(matches!(store.get("bad").await, Err(Error::Corrupt { .. })));
    assert!(matches!(store.list("").await, Err(Error::Corrupt { .. })));
    assert_eq!(store.get("good").await.unwrap().unwrap().body, 1);
    put(&store, "bad", 2).await;
    assert_eq!(store.get("bad").await.unwrap().unwrap().body, 2, "writing it anew heals it");
}

#[tokio::test]
async fn the_file_and_its_log_are_closed_to_other_users() {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    put(&store, "a", 1).await;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(sqlite.folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name());
    }
    assert!(names.len() >= 2, "{names:?}");
}

/// Everything that lies in the folder of a store, but for what SQLite makes anew whenever it looks.
fn files(sqlite: &Sqlite) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = std::fs::read_dir(sqlite.folder.path()).unwrap().map(Result::unwrap);
    let lasting = entries.filter(|entry| !entry.file_name().to_string_lossy().ends_with("-shm"));
    let mut all: Vec<_> =
        lasting.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_damaged_file_and_its_log_stay_as_they_are() {
    let sqlite = filled().await;
    // What a killed server leaves: the log has what is not in the file yet.
    let store = sqlite.open().await;
    put(&store, "n/late", "in the log").await;
    let (log, copy) = (sqlite.path().with_extension("sqlite3-wal"), sqlite.folder.path().join("copy"));
    std::fs::copy(&log, &copy).unwrap();
    drop(store);
    std::fs::rename(&copy, &log).unwrap();
    // Far from what the log writes anew.
    overwrite(&sqlite, 20);
    let before = files(&sqlite);
    is_told(&sqlite).await;
    let problems = check(&sqlite.path(), |_| Ok(())).map(|checked| checked.problems);
    assert!(problems.is_err() || problems.is_ok_and(|problems| !problems.is_empty()));
    assert!(files(&sqlite) == before, "what might still be read was written to");
}

#[tokio::test]
async fn a_store_that_is_gone_or_empty_is_not_begun_anew_while_there_are_snapshots() {
    for empty in [false, true] {
        let sqlite = filled().await;
        let time = "2026-11-21T12:00:00Z".parse().unwrap();
        Snapshots::of(sqlite.path()).take(Reason::Hourly, "0.1.0", time).unwrap();
        if empty {
            OpenOptions::new().write(true).truncate(true).open(sqlite.path()).unwrap();
        } else {
            std::fs::remove_file(sqlite.path()).unwrap();
        }
        is_told(&sqlite).await;
        let error = open(sqlite.path(), sqlite.clock.clone()).await.err().unwrap();
        let hint = error.hint().unwrap();
        let command = format!("`tandem store restore --data {}`", sqlite.folder.path().display());
        assert!(hint.contains(&command) && hint.contains("2026-11-21 12:00:00 UTC"), "{hint}");
    }
}
