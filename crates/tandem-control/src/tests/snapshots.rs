//! Snapshots of the store: taken by themselves, and told where they cannot be.

use std::sync::Arc;

use tandem_store::sqlite::snapshots::{Reason, Snapshots};

use super::site::Site;
use crate::housekeeping::snapshots::SnapshotTaker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_taken_when_something_changed_and_status_tells_where_none_can_be() {
    let site = Site::start().await;
    let taker = SnapshotTaker::new(Arc::clone(&site.handle.shared), site.data.database());
    let snapshots = Snapshots::of(site.data.database());
    // A file where the folder should be.
    tandem_kit::files::write_atomic_unsynced(snapshots.folder(), b"", 0o600).unwrap();
    taker.look().await;
    let told = async || {
        let problems = site.handle.status().await.unwrap().problems;
        problems.into_iter().find(|problem| problem.contains("no snapshot of the store can be taken"))
    };
    let problem = told().await.expect("it is told");
    assert!(problem.contains("snapshots in"), "{problem}");

    std::fs::remove_file(snapshots.folder()).unwrap();
    taker.look().await;
    assert_eq!(told().await, None);
    let all = snapshots.list().unwrap();
    assert_eq!((all.len(), all[0].reason), (1, Reason::Hourly));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_ones_go_also_where_none_can_be_taken() {
    let site = Site::start().await;
    // A store of which no copy can be made, and thirty hours of one that was whole.
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("tandem.sqlite3");
    tandem_kit::files::write_atomic_unsynced(&database, &[7; 8192], 0o600).unwrap();
    let snapshots = Snapshots::of(&database);
    tandem_kit::files::ensure_dir(snapshots.folder(), 0o700).unwrap();
    for hour in 0..30 {
        let (day, hour) = (1 + hour / 24, hour % 24);
        let name = format!("202001{day:02}T{hour:02}0000Z_{day}{hour:02}_hourly_0.1.0.sqlite3");
        tandem_kit::files::write_atomic_unsynced(&snapshots.folder().join(name), b"", 0o600).unwrap();
    }
    let taker = SnapshotTaker::new(Arc::clone(&site.handle.shared), database);
    assert!(!taker.look().await, "there is nothing to copy");
    assert_eq!(snapshots.list().unwrap().len(), 24);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_one_that_cannot_be_removed_is_told_as_that_and_the_new_one_keeps_its_builds() {
    let site = Site::start().await;
    let snapshots = Snapshots::of(site.data.database());
    tandem_kit::files::ensure_dir(snapshots.folder(), 0o700).unwrap();
    for hour in 0..30 {
        let (day, hour) = (1 + hour / 24, hour % 24);
        let name = format!("202001{day:02}T{hour:02}0000Z_0_hourly_0.1.0.sqlite3");
        let path = snapshots.folder().join(name);
        // A folder is removed by no call that removes files.
        tandem_kit::files::ensure_dir(&path, 0o700).unwrap();
    }
    let taker = SnapshotTaker::new(Arc::clone(&site.handle.shared), site.data.database());
    assert!(taker.look().await, "one could be taken");
    assert!(snapshots.latest().unwrap().is_some_and(|latest| latest.path.is_file()));
    assert!(site.data.root().join("snapshot-roots.json").exists(), "what it needs is noted");
    let problems = site.handle.status().await.unwrap().problems;
    let problems: Vec<_> = problems.iter().filter(|problem| problem.contains("snapshot")).collect();
    let [problem] = problems[..] else { panic!("{problems:?}") };
    assert!(problem.starts_with("old snapshots of the store stay: failed to remove old"), "{problem}");
}
