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
