//! A full disk: a clear error, nothing half-written, and the store goes on once there is room.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;
use tandem_kit::clock::Clock;

use super::open;
use crate::contract::{put, transaction};
use crate::{Error, Expect, JournalQuery, SharedStore};

/// A file system of two MiB; gone when dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// None where we may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = Some("size=2m");
        mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), options).ok()?;
        Some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file that takes room until it is removed.
    fn filler(&self) -> PathBuf {
        let path = self.path().join("filler");
        tandem_kit::files::write_atomic(&path, &vec![0; 1024 * 1024], 0o600).unwrap();
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
    let Some(disk) = SmallDisk::mount() else { return };
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
    let Some(disk) = SmallDisk::mount() else { return };
    let (_first, _second) = (disk.filler(), std::fs::File::create(disk.path().join("rest")).unwrap());
    let mut rest = _second;
    while std::io::Write::write(&mut rest, &[0; 4096]).is_ok_and(|written| written > 0) {}
    let error = open(disk.path().join("tandem.sqlite3"), Clock::system()).await.err().unwrap();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
}
