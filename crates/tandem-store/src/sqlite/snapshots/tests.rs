//! Which snapshots are kept, and that each is a whole store.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use jiff::SignedDuration;

use super::kept::ALWAYS;
use super::*;
use crate::contract::{Engine as _, put};
use crate::sqlite::tests::Sqlite;

fn at(hour: i64) -> Timestamp {
    let first: Timestamp = "2026-11-21T00:30:00Z".parse().unwrap();
    first + SignedDuration::from_hours(hour)
}

fn snapshot(reason: Reason, hour: i64, bytes: u64) -> Snapshot {
    let revision = Revision(u64::try_from(hour).unwrap());
    let path = PathBuf::from(Snapshot::file_name(at(hour), revision, (reason, "0.1.0", 1)));
    Snapshot::parse(path, bytes).unwrap()
}

#[test]
fn a_name_tells_everything_and_other_files_are_none() {
    let name = Snapshot::file_name(at(1), Revision(7), (Reason::Upgrade, "0.2.0-rc_1", 1));
    assert_eq!(name, "20261121T013000Z_7_upgrade_0.2.0-rc-1.sqlite3");
    let read = Snapshot::parse(PathBuf::from(&name), 5).unwrap();
    assert_eq!((read.time, read.revision, read.reason), (at(1), Revision(7), Reason::Upgrade));
    assert!(read.generation == 1 && read.is_known());
    let name = Snapshot::file_name(at(1), Revision(7), (Reason::Hourly, "9.0.0", 9));
    assert_eq!(name, "20261121T013000Z_7_hourly_9.0.0_g9.sqlite3");
    let read = Snapshot::parse(PathBuf::from(&name), 5).unwrap();
    assert_eq!((read.version.as_str(), read.generation, read.is_known()), ("9.0.0", 9, false));
    for other in ["20261121T013000Z.partial", "notes.sqlite3", "20261121T013000Z_7_other_1.sqlite3"] {
        assert_eq!(Snapshot::parse(PathBuf::from(other), 5), None, "{other}");
    }
}

#[test]
fn a_day_of_hours_a_week_of_days_and_the_last_upgrades_are_kept() {
    let mut all: Vec<_> = (0..24 * 30).map(|hour| snapshot(Reason::Hourly, hour, 1)).collect();
    all.extend((0..9).map(|number| snapshot(Reason::Upgrade, number * 50, 1)));
    all.sort_by_key(|one| std::cmp::Reverse(one.revision));
    let gone: BTreeSet<_> = surplus(&all, MOST_BYTES).into_iter().map(|one| one.path.clone()).collect();
    let kept: Vec<_> = all.iter().filter(|one| !gone.contains(&one.path)).collect();
    let hourly: Vec<_> = kept.iter().filter(|one| one.reason == Reason::Hourly).collect();
    assert_eq!(hourly.len(), 24 + 6, "the newest of today is one of both");
    let days: BTreeSet<_> = hourly.iter().map(|one| one.time.strftime("%d").to_string()).collect();
    assert_eq!(days.len(), 7);
    assert_eq!(kept.len() - hourly.len(), 5);
}

#[test]
fn large_ones_are_bounded_and_the_newest_always_stay() {
    let large = MOST_BYTES / 2;
    let all: Vec<_> = (0..10).rev().map(|hour| snapshot(Reason::Hourly, hour, large)).collect();
    assert_eq!(surplus(&all, MOST_BYTES).len(), 10 - ALWAYS);
}

#[test]
fn hours_go_before_what_was_taken_by_hand_and_that_before_the_way_back() {
    let mut all: Vec<_> = (4..20).rev().map(|hour| snapshot(Reason::Hourly, hour, 10)).collect();
    all.extend([snapshot(Reason::Manual, 2, 10), snapshot(Reason::Upgrade, 1, 10)]);
    let left = |bytes: u64| {
        let gone: BTreeSet<_> = surplus(&all, bytes).into_iter().map(|one| one.path.clone()).collect();
        let left = all.iter().filter(|one| !gone.contains(&one.path)).skip(ALWAYS);
        left.map(|one| one.reason).collect::<Vec<_>>()
    };
    assert_eq!(left(60), [Reason::Hourly, Reason::Manual, Reason::Upgrade]);
    assert_eq!(left(50), [Reason::Manual, Reason::Upgrade]);
    assert_eq!(left(40), [Reason::Upgrade]);
}

#[test]
fn one_from_before_an_upgrade_does_not_go_for_the_hours_after_it() {
    let mut all: Vec<_> = (1..20).rev().map(|hour| snapshot(Reason::Hourly, hour, 10)).collect();
    all.push(snapshot(Reason::Upgrade, 0, 10));
    let gone = surplus(&all, 50);
    assert_eq!(gone.len(), 20 - 5);
    assert!(gone.iter().all(|one| one.reason == Reason::Hourly), "{gone:?}");
}

#[test]
fn only_what_is_called_as_one_aside_is_taken_for_one() {
    for ours in ["", "-journal", "-wal", "-shm"] {
        assert!(is_partial(&format!("20261121T013000Z.partial{ours}")), "{ours}");
    }
    let others =
        ["20261121T013000Z_7_manual_1.partial.sqlite3", "mine.partial", "20261121T013000Z.partial.old"];
    assert!(!others.into_iter().any(is_partial));
}

#[tokio::test]
async fn a_folder_with_a_strange_name_loses_no_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a.partial");
    std::fs::create_dir(&root).unwrap();
    let database = root.join("tandem.sqlite3");
    drop(crate::sqlite::open(&database, tandem_kit::clock::Clock::system()).await.unwrap());
    let snapshots = Snapshots::of(&database);
    for hour in 0..3 {
        snapshots.take(Reason::Manual, "0.1.0", at(hour)).unwrap();
    }
    std::fs::create_dir(snapshots.folder().join("20261121T013000Z.partial")).unwrap();
    std::fs::File::create(snapshots.folder().join("20261121T023000Z.partial")).unwrap();
    snapshots.take(Reason::Manual, "0.1.0", at(3)).unwrap();
    assert_eq!(snapshots.list().unwrap().len(), 4);
    assert!(snapshots.folder().join("20261121T013000Z.partial").exists(), "no file, so none of ours");
    assert!(!snapshots.folder().join("20261121T023000Z.partial").exists());
}

#[tokio::test]
async fn the_latest_is_one_of_a_generation_that_is_known() {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    let snapshots = Snapshots::of(sqlite.path());
    put(&store, "a", 1).await;
    let before = snapshots.take(Reason::Upgrade, "0.1.0", at(0)).unwrap();
    let stamp = Stamp { generation: 9, version: "9.0.0".to_owned(), from: None };
    stamp.write(sqlite.folder.path()).unwrap();
    put(&store, "a", 2).await;
    let after = snapshots.take(Reason::Hourly, "9.0.0", at(1)).unwrap();
    assert_eq!(snapshots.list().unwrap(), [after, before.clone()]);
    assert_eq!(snapshots.latest().unwrap(), Some(before));
}

#[tokio::test]
async fn one_that_somebody_wants_waits_for_another_that_is_being_taken() {
    let sqlite = Sqlite::new();
    drop(sqlite.open().await);
    let snapshots = Snapshots::of(sqlite.path());
    files::ensure_dir(snapshots.folder(), 0o700).unwrap();
    for (reason, waits) in [(Reason::Upgrade, true), (Reason::Manual, true), (Reason::Hourly, false)] {
        let mut held = Some(snapshots.lock(1, pause).unwrap());
        let lock = snapshots.lock(tries(reason), || drop(held.take()));
        assert_eq!(lock.is_ok(), waits, "{reason}");
    }
    let held = snapshots.lock(1, pause).unwrap();
    let hourly = snapshots.take(Reason::Hourly, "0.1.0", at(0)).unwrap_err();
    assert!(matches!(hourly, Error::Unavailable { .. }), "{hourly:?}");
    drop(held);
    snapshots.take(Reason::Hourly, "0.1.0", at(0)).unwrap();
}

#[tokio::test]
async fn an_old_one_that_cannot_be_removed_stops_neither_the_new_one_nor_the_others_that_go() {
    let sqlite = Sqlite::new();
    drop(sqlite.open().await);
    let snapshots = Snapshots::of(sqlite.path());
    files::ensure_dir(snapshots.folder(), 0o700).unwrap();
    let old = |hour| snapshots.folder().join(snapshot(Reason::Manual, hour, 0).path);
    // A folder is removed by no call that removes files.
    std::fs::create_dir(old(1)).unwrap();
    for hour in std::iter::once(0).chain(2..13) {
        std::fs::File::create(old(hour)).unwrap();
    }
    let taken = snapshots.take(Reason::Upgrade, "0.1.0", at(20)).unwrap();
    assert!(taken.path.exists());
    assert_eq!([0, 1, 2].map(|hour| old(hour).exists()), [false, true, false]);
    let error = snapshots.keep_within(MOST_BYTES).unwrap_err();
    assert!(error.to_string().contains("remove old"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_taken_beside_a_writer_and_is_a_whole_store() {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    let snapshots = Snapshots::of(sqlite.path());
    let writing = async {
        for number in 0..200 {
            put(&store, &format!("n/{}", number % 10), "x".repeat(2_000)).await;
        }
    };
    let taking = tandem_kit::tasks::blocking("snapshot", {
        let snapshots = snapshots.clone();
        move || (0..5).map(|hour| snapshots.take(Reason::Manual, "0.1.0", at(hour))).collect::<Vec<_>>()
    });
    let (taken, ()) = tokio::join!(taking, writing);
    for taken in taken {
        let taken = taken.unwrap();
        assert_eq!(taken.path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let checked = crate::sqlite::check(&taken.path, |_| Ok(())).unwrap();
        assert_eq!((checked.problems, checked.revision), (Vec::<String>::new(), taken.revision));
    }
    let names = std::fs::read_dir(snapshots.folder()).unwrap().count();
    assert_eq!(names, snapshots.list().unwrap().len() + 1, "nothing is left aside but the lock");
}

#[tokio::test]
async fn a_small_share_takes_all_but_the_newest_and_never_one_that_is_being_taken() {
    let sqlite = Sqlite::new();
    drop(sqlite.open().await);
    let snapshots = Snapshots::of(sqlite.path());
    snapshots.keep_within(0).unwrap();
    assert!(!snapshots.folder().exists(), "nothing was taken yet");
    let taken: Vec<_> =
        (0..5).map(|hour| snapshots.take(Reason::Manual, "0.1.0", at(hour)).unwrap().path).collect();
    let mine = snapshots.folder().join("mine.sqlite3");
    std::fs::copy(&taken[0], &mine).unwrap();
    let held = snapshots.lock(1, pause).unwrap();
    snapshots.keep_within(0).unwrap();
    assert!(taken.iter().all(|path| path.exists()));
    drop(held);
    snapshots.keep_within(0).unwrap();
    let here: Vec<_> = taken.iter().map(|path| path.exists()).collect();
    assert_eq!(here, [false, false, true, true, true]);
    assert!(mine.exists(), "not of our making");
}

#[tokio::test]
async fn every_hour_one_is_taken_if_something_changed() {
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    let snapshots = Snapshots::of(sqlite.path());
    put(&store, "a", 1).await;
    let revision = store.cursor().await.unwrap().revision;
    let take = |revision, hour| {
        let is_due = snapshots.is_due(revision, at(hour)).unwrap();
        is_due.then(|| snapshots.take(Reason::Hourly, "0.1.0", at(hour)).unwrap()).is_some()
    };
    assert!(take(revision, 0));
    assert!(!take(revision, 5), "nothing changed");
    put(&store, "a", 2).await;
    let revision = store.cursor().await.unwrap().revision;
    assert!(!take(revision, 0), "no hour has passed");
    assert!(take(revision, 1));
    put(&store, "a", 3).await;
    let revision = store.cursor().await.unwrap().revision;
    assert!(take(revision, 0), "a clock that was set back holds up nothing");
    let latest = &snapshots.list().unwrap()[0];
    assert_eq!(latest.revision, revision, "the latest state, whatever the clock said");
}

#[tokio::test]
async fn a_damaged_store_leaves_no_snapshot() {
    let sqlite = Sqlite::new();
    drop(sqlite.open().await);
    sqlite.damage();
    let snapshots = Snapshots::of(sqlite.path());
    let error = snapshots.take(Reason::Hourly, "0.1.0", at(0)).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path, .. } if *path == sqlite.path()), "{error:?}");
    assert_eq!(std::fs::read_dir(snapshots.folder()).unwrap().count(), 1, "nothing but the lock");
}

#[tokio::test]
async fn damage_that_a_copy_would_not_show_leaves_no_snapshot_either() {
    use std::os::unix::fs::FileExt as _;
    let sqlite = Sqlite::new();
    let store = sqlite.open().await;
    for number in 0..300 {
        put(&store, &format!("some/what/longer/key/{number:05}"), 1).await;
    }
    drop(store);
    // A leaf of an index: it is not copied but made anew. Only its number of cells is wrong.
    let leaf = rusqlite::Connection::open(sqlite.path()).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'documents_by_revision'";
    let page: u64 = leaf.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs();
    drop(leaf);
    let file = OpenOptions::new().write(true).open(sqlite.path()).unwrap();
    file.write_all_at(&[0xff; 4], (page - 1) * 4096 + 3).unwrap();
    let snapshots = Snapshots::of(sqlite.path());
    let taken = snapshots.take(Reason::Hourly, "0.1.0", at(1));
    assert!(matches!(&taken, Err(Error::Corrupt { path, .. }) if *path == sqlite.path()), "{taken:?}");
    assert_eq!(snapshots.list().unwrap(), []);
}

#[tokio::test]
async fn what_root_makes_belongs_to_whom_the_store_belongs() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let sqlite = Sqlite::new();
    drop(sqlite.open().await);
    let path = sqlite.path();
    // Somebody who may not give files away can only be the one whose they are.
    if chown(&path, Some(12_345), Some(12_346)).is_err() {
        return;
    }
    let snapshots = Snapshots::of(&path);
    let taken = snapshots.take(Reason::Manual, "0.1.0", at(1)).unwrap();
    let prepared = crate::sqlite::restore::prepare(&path, &taken.path).unwrap();
    prepared.take_place(&sqlite.folder.path().join("aside")).unwrap();
    let names = ["tandem.sqlite3", "aside", "snapshots", "snapshots/lock"]
        .map(|name| sqlite.folder.path().join(name));
    for made in names.iter().chain([&taken.path]) {
        let found = made.metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (12_345, 12_346), "{}", made.display());
    }
}
