//! A full disk: a clear error, nothing half-written, and the store goes on once there is room.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;
use tandem_kit::clock::Clock;

use super::open;
use crate::contract::{put, transaction};
use crate::sqlite::snapshots::{Reason, Snapshots};
use crate::{Error, Expect, JournalQuery, SharedStore};

/// A small file system; gone when dropped.
pub(super) struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// None where we may not mount.
    pub(super) fn mount(mib: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={mib}m");
        mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).ok()?;
        Some(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file that takes room until it is removed.
    fn filler(&self) -> PathBuf {
        let path = self.path().join("filler");
        tandem_kit::files::write_atomic(&path, &vec![0; 1024 * 1024], 0o600).unwrap();
        path
    }

    /// Writes until nothing fits any more; returns the file that takes the room.
    pub(super) fn fill(&self) -> PathBuf {
        let path = self.path().join("rest");
        let mut rest = std::fs::File::create(&path).unwrap();
        while std::io::Write::write(&mut rest, &[0; 4096]).is_ok_and(|written| written > 0) {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(self.folder.path(), MntFlags::MNT_DETACH).unwrap();
    }
}

async fn put_large(store: &SharedStore, number: usize) -> Result<(), Error> {
    let body = json!(number.to_string().repeat(20_000));
    let write = transaction()
        .put_value(format!("large/{number:03}"), ("thing/1", body), Expect::Absent)
        .put_value("count", ("thing/1", json!(number + 1)), Expect::Any);
    store.transact(write).await.map(drop)
}

/// How many large documents there are; the count that was written with the last one agrees.
async fn count(store: &SharedStore) -> usize {
    let documents = store.list("large/").await.unwrap().documents;
    let counted = store.get("count").await.unwrap().unwrap().body;
    assert_eq!(counted, json!(documents.len()), "nothing is half-written");
    documents.len()
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_store_goes_on_once_there_is_room() {
    let Some(disk) = SmallDisk::mount(2) else { return };
    let path = disk.path().join("tandem.sqlite3");
    let store = open(path.clone(), Clock::system()).await.unwrap();
    let filler = disk.filler();
    let mut written = 0;
    let error = loop {
        match put_large(&store, written).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, Error::Full { path: told, .. } if *told == path), "{error:?}");
    assert!(error.hint().is_some());
    assert!(written > 0);
    assert_eq!(count(&store).await, written);
    // Among large ones that do not fit, each is told by itself.
    let tries = futures_util::future::join_all((0..5).map(|more| put_large(&store, written + more))).await;
    assert!(tries.iter().all(|one| matches!(one, Err(Error::Full { .. }))), "{tries:?}");

    std::fs::remove_file(filler).unwrap();
    put_large(&store, written).await.unwrap();
    assert_eq!(count(&store).await, written + 1);
    drop(store);
    let store = open(path, Clock::system()).await.unwrap();
    assert_eq!(count(&store).await, written + 1);
    let newest = put(&store, "last", 1).await;
    assert_eq!(store.journal(JournalQuery::default()).await.unwrap().len() as u64, newest.0);
}

#[tokio::test]
async fn a_disk_without_any_room_is_told_at_opening() {
    let Some(disk) = SmallDisk::mount(2) else { return };
    disk.fill();
    let error = open(disk.path().join("tandem.sqlite3"), Clock::system()).await.err().unwrap();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
}

#[tokio::test]
async fn a_store_opens_on_a_full_disk_with_ballast() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let path = disk.path().join("tandem.sqlite3");
    let store = open(path.clone(), Clock::system()).await.unwrap();
    let newest = put(&store, "a", 1).await;
    drop(store);
    let laid_out = tandem_kit::ballast::lay_out(disk.path()).unwrap();
    assert!(laid_out > 3, "{laid_out}");
    disk.fill();
    let store = open(path, Clock::system()).await.unwrap();
    assert_eq!(store.cursor().await.unwrap().revision, newest);
    let left = std::fs::read_dir(disk.path().join("ballast")).unwrap().count() as u64;
    assert!((1..laid_out).contains(&left), "{left} of {laid_out}");
}

#[tokio::test]
async fn no_snapshot_is_begun_that_would_fill_the_disk() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let path = disk.path().join("tandem.sqlite3");
    let store = open(path.clone(), Clock::system()).await.unwrap();
    for number in 0..5 {
        put_large(&store, number).await.unwrap();
    }
    drop(store);
    let length = std::fs::metadata(&path).unwrap().len();
    let snapshots = Snapshots::of(&path);
    let take = |hour: i64| {
        let time: tandem_types::Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        snapshots.take(Reason::Hourly, "0.1.0", time + jiff::SignedDuration::from_hours(hour))
    };
    take(0).unwrap();
    let free = tandem_kit::disk::space(disk.path()).unwrap().free_bytes;
    let filler = disk.path().join("filler");
    let taken = usize::try_from(free - length - length / 2).unwrap();
    tandem_kit::files::write_atomic(&filler, &vec![0; taken], 0o600).unwrap();
    let error = take(1).expect_err("it would fit, but leave little");
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert_eq!(snapshots.list().unwrap().len(), 1);
    std::fs::remove_file(filler).unwrap();
    take(2).unwrap();
}

/// Whoever types has not the environment of the server, and so not its budget.
#[tokio::test]
async fn one_that_is_taken_removes_none_for_a_small_disk() {
    let Some(disk) = SmallDisk::mount(40) else { return };
    let path = disk.path().join("tandem.sqlite3");
    let store = open(path.clone(), Clock::system()).await.unwrap();
    for number in 0..10 {
        put_large(&store, number).await.unwrap();
    }
    drop(store);
    let snapshots = Snapshots::of(&path);
    let first: tandem_types::Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    for hour in 0..8 {
        snapshots.take(Reason::Manual, "0.1.0", first + jiff::SignedDuration::from_hours(hour)).unwrap();
    }
    let all = snapshots.list().unwrap();
    let bytes: u64 = all.iter().map(|one| one.bytes).sum();
    assert_eq!(all.len(), 8, "{bytes} bytes");
    assert!(bytes > 1 << 20, "more than a quarter of a tenth of this disk: {bytes}");
}
