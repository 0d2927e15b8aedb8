//! A full disk at any write: refused as such, nothing half done, and the store works again once there is room.

use serde_json::json;
use tandem_kit::clock::Clock;

use super::disk::SmallDisk;
use super::vfs::{Disk, Fault};
use super::{SqliteEngine, open_engine};
use crate::contract::transaction;
use crate::sqlite::check;
use crate::{Error, Expect, Store as _};

/// A transaction of several pages in two documents that belong together.
async fn write(engine: &SqliteEngine, number: usize) -> Result<(), Error> {
    let body = json!(number.to_string().repeat(3_000));
    let write = transaction()
        .put_value(format!("left/{number:03}"), ("thing/1", body.clone()), Expect::Absent)
        .put_value(format!("right/{number:03}"), ("thing/1", body), Expect::Absent);
    engine.transact(write).await.map(drop)
}

async fn count(engine: &SqliteEngine) -> usize {
    let left = engine.list("left/").await.unwrap().documents.len();
    let right = engine.list("right/").await.unwrap().documents.len();
    assert_eq!(left, right, "nothing is half done");
    left
}

/// Refuses the operations from the `after`th on, `count` of them, while a dozen transactions are tried. Says whether
/// any was refused.
async fn refuse(fault: Fault, (after, times): (usize, usize)) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tandem.sqlite3");
    let disk = Disk::watch(folder.path());
    let engine = open_engine(path.clone(), Clock::system()).await.unwrap();
    write(&engine, 0).await.unwrap();
    disk.refuse(fault, (after, times));
    let mut done = 1;
    for number in 1..12 {
        match write(&engine, number).await {
            Ok(()) => done += 1,
            Err(error) => {
                assert!(matches!(&error, Error::Full { path: told, .. } if *told == path), "{error:?}");
                assert!(error.hint().is_some());
            }
        }
        assert_eq!(count(&engine).await, done, "what can be read is what was acknowledged");
    }
    let refused = disk.recover() > 0;
    write(&engine, 100).await.expect("there is room again");
    drop(engine);
    disk.forget();
    let engine = open_engine(path.clone(), Clock::system()).await.unwrap();
    assert_eq!(count(&engine).await, done + 1);
    drop(engine);
    assert_eq!(check(&path, |_| Ok(())).unwrap().problems, Vec::<String>::new());
    refused
}

/// At each of the first writes, and at each `step`th of the later ones, which are more of the same.
async fn refuse_each(fault: Fault, times: usize, step: usize) {
    let mut after = 0;
    while refuse(fault, (after, times)).await {
        after += if after < 60 { 1 } else { step };
    }
    assert!(after > 100, "only {after} writes were met");
}

async fn refuse_many(fault: Fault, times: usize) {
    refuse_each(fault, times, 7).await;
}

/// Every single write.
mod long {
    use super::*;

    #[tokio::test]
    async fn every_write_of_the_scenario_may_be_refused_once_in_part_or_for_good() {
        for (fault, times) in [(Fault::Full, 1), (Fault::Short, 1), (Fault::Full, usize::MAX)] {
            refuse_each(fault, times, 1).await;
        }
    }
}

#[tokio::test]
async fn a_disk_that_is_full_for_a_moment_costs_the_transaction_it_meets() {
    refuse_many(Fault::Full, 1).await;
}

#[tokio::test]
async fn a_write_that_does_half_of_its_work_leaves_nothing_half_done() {
    refuse_many(Fault::Short, 1).await;
}

#[tokio::test]
async fn a_disk_that_stays_full_refuses_until_there_is_room() {
    refuse_many(Fault::Full, usize::MAX).await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told_as_a_full_disk_and_a_broken_disk_is_not() {
    let Some(small) = SmallDisk::mount(2) else { return };
    let path = small.path().join("tandem.sqlite3");
    let disk = Disk::watch(small.path());
    let engine = open_engine(path.clone(), Clock::system()).await.unwrap();
    disk.refuse(Fault::Quota, (0, usize::MAX));
    let broken = write(&engine, 0).await.unwrap_err();
    assert!(matches!(broken, Error::Unavailable { .. }), "there is room: {broken:?}");
    // What is written beside the store to find out does not fit.
    let rest = small.fill();
    let full = write(&engine, 1).await.unwrap_err();
    assert!(matches!(&full, Error::Full { path: told, .. } if *told == path), "{full:?}");
    std::fs::remove_file(rest).unwrap();
    disk.recover();
    write(&engine, 2).await.expect("there is room again");
    assert_eq!(count(&engine).await, 1);
    drop(engine);
    disk.forget();
    assert!(!small.path().join("tandem.sqlite3-room").exists(), "nothing is left of the trial");
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_first_opening_leaves_an_empty_file_or_a_store() {
    for after in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tandem.sqlite3");
        let disk = Disk::watch(folder.path());
        disk.refuse(Fault::Full, (after, usize::MAX));
        let opened = open_engine(path.clone(), Clock::system()).await;
        let refused = disk.recover() > 0;
        if let Err(error) = &opened {
            assert!(matches!(error, Error::Full { .. }), "{error:?}");
        }
        drop(opened);
        let engine = open_engine(path, Clock::system()).await.unwrap();
        write(&engine, 0).await.unwrap();
        drop(engine);
        disk.forget();
        if !refused {
            return assert!(after > 5, "only {after} writes were met");
        }
    }
    panic!("a store is made with more than a hundred writes");
}
