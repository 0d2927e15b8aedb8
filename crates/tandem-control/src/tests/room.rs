//! Room: what is given back, and what never is.

use tandem_build::Stock;
use tandem_rules::room::{Kept, Use};
use tandem_types::Timestamp;
use tandem_types::build::Subtree;
use tandem_types::tree::{Entry, Tree};

use super::site::Site;
use crate::housekeeping::{Housekeeping, live_roots, pins};

fn kept(app: &str, (stock, used): (Stock, Use), bytes: u64) -> Kept<crate::builder::Stocked> {
    let key = (app.parse().expect("a name"), stock);
    Kept { key, used, bytes, last_used: Timestamp::UNIX_EPOCH }
}

#[tokio::test]
async fn what_is_kept_only_to_be_quicker_goes_beyond_its_budget() {
    let site = Site::start().await;
    let downloads = kept("shop", (Stock::Downloads, Use::Downloads), 1 << 60);
    let parts = kept("shop", (Stock::Parts, Use::Parts), 5);
    *site.builder.stock.lock().expect("lock") = vec![downloads, parts.clone()];
    Housekeeping::new(site.handle.shared.clone()).reclaim().await;
    assert_eq!(*site.builder.stock.lock().expect("lock"), [parts], "no disk has a tenth that large");
}

#[tokio::test]
async fn builds_give_way_to_logs_and_snapshots_and_status_tells_what_each_takes() {
    let site = Site::start().await;
    let housekeeping = Housekeeping::new(site.handle.shared.clone());
    housekeeping.keep_within_budget().await;
    let told = async || site.handle.status().await.expect("a status").budget.expect("it was measured");
    let budget = told().await.budget_bytes;
    *site.builder.stock.lock().expect("lock") = vec![kept("shop", (Stock::Parts, Use::Parts), budget)];
    housekeeping.keep_within_budget().await;
    assert_eq!(told().await.builds_bytes, budget, "all of it while nobody else takes any");
    for (folder, bytes) in [("runner/logs", 70_000), ("snapshots", 40_000)] {
        let file = site.data.root().join(folder).join("file");
        tandem_kit::files::ensure_dir(file.parent().expect("a folder"), 0o700).expect("made");
        tandem_kit::files::write_atomic_unsynced(&file, &vec![7; bytes], 0o600).expect("written");
    }
    housekeeping.keep_within_budget().await;
    let told = told().await;
    assert!(told.builds_bytes == 0 && told.budget_bytes == budget, "{told:?}");
    assert!(told.logs_bytes >= 70_000 && told.snapshots_bytes >= 40_000, "{told:?}");
    assert_eq!(told.used_bytes(), told.logs_bytes + told.snapshots_bytes);
}

#[tokio::test]
async fn a_source_that_lacks_a_file_is_refused_and_not_built() {
    let site = Site::start().await;
    let entry =
        Entry::File { digest: tandem_blobs::tree::digest_of(b"never sent"), size: 10, executable: false };
    let listing = Tree { entries: [("a.txt".to_owned(), entry)].into() };
    let blobs = tandem_blobs::BlobStore::open(site.data.blobs()).expect("blobs");
    let tree = blobs.put_tree(&listing).expect("put");
    let action =
        tandem_types::api::RolloutAction::Deploy { tree, source: tandem_types::build::SourceInfo::default() };
    assert_eq!(site.ask(action).await.expect_err("refused").code, "source_missing");
}

#[tokio::test]
async fn a_build_of_which_files_are_gone_is_told_and_stops_no_sweep() {
    let site = Site::start().await;
    let blobs = tandem_blobs::BlobStore::open(site.data.blobs()).expect("blobs");
    let listing = |text: &[u8]| {
        let digest = blobs.put(text).expect("put");
        let entry = Entry::File { digest, size: 1, executable: false };
        blobs.put_tree(&Tree { entries: [("file".to_owned(), entry)].into() }).expect("put")
    };
    let (lost, garbage) = (listing(b"a"), listing(b"b"));
    let subtree =
        Subtree { name: "app".to_owned(), mount: "/app".to_owned(), tree: lost, bytes: 1, files: 1 };
    *site.builder.subtrees.lock().expect("lock") = vec![subtree];
    site.deploy().await;
    let path = lost.to_string();
    std::fs::remove_file(site.data.blobs().join(&path[..2]).join(&path[2..])).expect("it is there");
    let future = "2200-01-01T00:00:00Z".parse().expect("a time");
    Housekeeping::new(site.handle.shared.clone()).sweep_blobs_since(future).await;
    assert!(!blobs.has(&[garbage])[0], "the rest is swept");
    let told = async || {
        let problems = site.handle.status().await.expect("a status").problems;
        problems.into_iter().find(|problem| problem.contains("are gone"))
    };
    assert_eq!(
        told().await.expect("it is told"),
        "files of the build b1 of guestbook (r1 of guestbook/production) are gone: deploy its source again"
    );
    assert_eq!(listing(b"a"), lost);
    Housekeeping::new(site.handle.shared.clone()).sweep_blobs_since(future).await;
    assert_eq!(told().await, None, "it was sent again");
}

#[tokio::test]
async fn builds_that_a_snapshot_names_outlive_their_releases() {
    let site = Site::start().await;
    let blobs = tandem_blobs::BlobStore::open(site.data.blobs()).expect("blobs");
    let [of_snapshot, garbage] = [b"a" as &[u8], b"b"].map(|content| {
        let digest = blobs.put(content).expect("put");
        let entry = Entry::File { digest, size: 1, executable: false };
        blobs.put_tree(&Tree { entries: [("file".to_owned(), entry)].into() }).expect("put")
    });
    let subtree =
        Subtree { name: "app".to_owned(), mount: "/app".to_owned(), tree: of_snapshot, bytes: 1, files: 1 };
    *site.builder.subtrees.lock().expect("lock") = vec![subtree];
    site.deploy().await;
    let before = site.handle.shared.look(live_roots);
    site.destroy().await;
    pins::note_snapshot(&site.handle.shared, before);
    let future = "2200-01-01T00:00:00Z".parse().expect("a time");
    let sweep = || async {
        let housekeeping = Housekeeping::new(site.handle.shared.clone());
        housekeeping.sweep_blobs_unused_since(future).await.expect("swept");
        [of_snapshot, garbage].map(|tree| blobs.is_complete(&tree).expect("looked"))
    };
    assert_eq!(sweep().await, [true, false]);
    (0..2).for_each(|_| pins::note_snapshot(&site.handle.shared, Vec::new()));
    assert_eq!(sweep().await, [false, false], "newer snapshots do not name it");
}
