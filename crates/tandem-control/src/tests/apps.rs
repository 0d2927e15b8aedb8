//! Apps, and what people are told of them.

use std::sync::Arc;

use tandem_types::api::{CreateApp, Reason};
use tandem_types::build::Subtree;
use tandem_types::routing::RoutingDocument;
use tandem_types::tree::Tree;
use tandem_types::{AppName, keys};

use super::site::Site;
use crate::housekeeping::{Housekeeping, live_roots};

fn app(name: &str) -> AppName {
    name.parse().expect("a name")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_not_there_is_met_with_what_was_meant() {
    let site = Site::start().await;
    site.deploy().await;
    let refused = site.handle.app(&app("gestbook")).expect_err("refused");
    assert_eq!((refused.code.as_str(), refused.status), ("app_not_found", 404));
    assert!(refused.hint.starts_with("did you mean guestbook?"), "{}", refused.hint);
    let again = site.handle.create_app("unix:ana", CreateApp { name: app("guestbook") }).await;
    assert_eq!(again.expect_err("refused").code, "app_exists");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destroying_a_running_app_needs_a_confirmation_and_leaves_nothing_in_the_store() {
    let site = Site::start().await;
    site.deploy().await;
    let refused = site.handle.destroy_app("unix:ana", &site.place.app, false).await.expect_err("refused");
    assert_eq!(refused.code, "app_running");
    site.handle.destroy_app("unix:ana", &site.place.app, true).await.expect("destroyed");
    assert!(site.handle.apps().is_empty());
    let left = site.store.list("apps/").await.expect("a list").documents;
    assert_eq!(left, []);
    let routing = site.handle.shared.value::<RoutingDocument>(keys::ROUTING_TABLE).expect("a table");
    assert_eq!(routing.serving.routes, []);
    let first_uid = 70_000;
    site.deploy().await;
    let environment = site.handle.environment(&site.place).expect("an environment");
    assert_eq!(environment.uid, first_uid + 1, "user ids are never given twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rollouts_are_forgotten_with_their_stories_and_the_latest_are_kept() {
    let site = Site::start().await;
    for _ in 0..3 {
        site.deploy().await;
    }
    let stories =
        || std::fs::read_dir(site.data.rollouts().join("guestbook.production")).expect("stories").count();
    assert_eq!(stories(), 3);
    Housekeeping::new(Arc::clone(&site.handle.shared)).forget_rollouts(1).await;
    let left: Vec<_> =
        site.handle.rollouts(&site.place).expect("rollouts").iter().map(|r| r.number.0).collect();
    assert_eq!((left, stories()), (vec![3], 1));
    assert_eq!(site.deploy().await.number.0, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_of_blobs_spares_what_can_be_rolled_back_to() {
    let site = Site::start().await;
    let blobs = &site.handle.shared.blobs;
    let (kept, other) =
        (blobs.put_tree(&Tree::default()).expect("put"), blobs.put(b"nobody's").expect("put"));
    let part = Subtree { name: "app".into(), mount: "/app".into(), tree: kept, bytes: 0, files: 0 };
    site.builder.subtrees.lock().expect("lock").push(part);
    site.deploy().await;
    let roots = site.handle.shared.look(live_roots);
    assert!(roots.contains(&kept) && !roots.contains(&other), "{roots:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn down_is_heard_by_who_watches_and_taken_back_at_the_next_start() {
    let mut site = Site::start().await;
    let mut down = site.handle.down_requested();
    assert!(!*down.borrow());
    site.handle.down("unix:ana", Reason::default()).await.expect("down");
    assert!(*down.borrow_and_update());
    site.restart().await;
    assert!(*site.handle.down_requested().borrow());
    site.handle.clear_down("unix:ana").await.expect("up");
    assert!(!*site.handle.down_requested().borrow());
}
