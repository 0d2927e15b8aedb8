//! Apps, and what people are told of them.

use std::sync::Arc;

use tandem_store::JournalQuery;
use tandem_types::api::{CreateApp, Reason};
use tandem_types::build::Subtree;
use tandem_types::document::JournalEntry;
use tandem_types::event::Event;
use tandem_types::problem::Problem;
use tandem_types::rollout::RolloutState;
use tandem_types::routing::RoutingDocument;
use tandem_types::tree::Tree;
use tandem_types::{AppName, defaults, keys};

use super::builds::spec;
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
    let site = Site::start_after(defaults::BALANCER_LIVE).await;
    site.deploy().await;
    let refused = site.handle.destroy_app("unix:ana", &site.place.app, false).await.expect_err("refused");
    assert_eq!(refused.code, "app_running");
    let told = site.destroy().await;
    assert!(told.last().is_some_and(|last| last.destroyed), "{told:?}");
    assert!(site.handle.apps().is_empty());
    let left = site.store.list("apps/").await.expect("a list").documents;
    assert_eq!(left, []);
    let routing = site.handle.shared.value::<RoutingDocument>(keys::ROUTING_TABLE).expect("a table");
    assert_eq!(routing.serving.routes, []);
    let subject = Some("guestbook".to_owned());
    let journal = site.store.journal(JournalQuery { subject, ..JournalQuery::default() }).await;
    let destroyed = |entry: &&JournalEntry| entry.cause.action == "app.destroy";
    assert_eq!(journal.expect("a journal").iter().filter(destroyed).count(), 1);
    let stories = std::fs::read_dir(site.data.rollouts().join("guestbook.production")).expect("stories");
    assert_eq!(stories.count(), 0);
    let first_uid = 70_000;
    site.deploy().await;
    let environment = site.handle.environment(&site.place).expect("an environment");
    assert_eq!(environment.uid, first_uid + 1, "user ids are never given twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_after_a_destroy_tells_its_own_story_even_where_an_old_one_was_left() {
    let site = Site::start().await;
    let failed = Problem::new(422, "no_recipe", "no recipe");
    *site.builder.problem.lock().expect("lock") = Some(failed);
    site.deploy().await;
    let story = site.data.rollouts().join("guestbook.production").join("1.ndjson");
    let old = std::fs::read(&story).expect("a story");
    site.destroy().await;
    assert!(!story.exists());
    tandem_kit::files::write_atomic(&story, &old, 0o600).expect("left behind");
    *site.builder.problem.lock().expect("lock") = None;
    let rollout = site.deploy().await;
    assert_eq!((rollout.number.0, rollout.state), (1, RolloutState::Completed));
    let end = site.events(rollout.number).await.pop();
    assert!(matches!(end, Some(Event::Finished { state: RolloutState::Completed, .. })), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_of_workers_only_has_no_address() {
    let site = Site::start().await;
    let rollout = site.deploy().await;
    let told = |number| site.handle.rollout_result(&site.at(number)).expect("a result").addresses;
    assert_eq!(told(rollout.number), ["http://guestbook.localhost:8080"]);
    *site.builder.spec.lock().expect("lock") = spec(&[("worker", 1)]);
    let rollout = site.deploy().await;
    assert_eq!(rollout.state, RolloutState::Completed);
    assert_eq!(told(rollout.number), Vec::<String>::new());
    assert_eq!(site.handle.app(&site.place.app).expect("an app").environments[0].addresses, [""; 0]);
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
