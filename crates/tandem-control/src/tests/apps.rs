//! Apps, and what people are told of them.

use tandem_types::api::{CreateApp, Reason};
use tandem_types::routing::RoutingDocument;
use tandem_types::{AppName, keys};

use super::site::Site;

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
