//! How a balancer follows its server, and what it does without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use tandem_types::{Epoch, InstanceId};

use super::app::{App, nobody, status};
use super::client::{ask, fetch};
use super::world::{World, eventually, route, shop, table, within};

#[tokio::test]
async fn a_table_is_ready_once_its_new_instances_answer_and_served_once_it_is_committed() {
    let (old, new) = (App::saying("old").await, App::saying("new").await);
    let world = World::serving(&[old.address]).await;
    let (serving, next) = (table(1, vec![shop(&[1])]), table(2, vec![shop(&[2])]));
    world.route(serving.clone(), Some(next.clone()));
    let status = world.until(|status| status.problem.is_some()).await;
    assert!(status.problem.as_ref().unwrap().contains("i2: its address is not known yet"), "{status:?}");
    let absent = nobody();
    world.place(&[(1, old.address), (2, absent)]);
    world
        .until(|status| {
            status.problem.as_ref().is_some_and(|why| why.contains("i2: connecting to it failed"))
        })
        .await;
    world.place(&[(1, old.address), (2, new.address)]);
    let status = world.until(|status| status.prepared == Some(Epoch(2))).await;
    assert_eq!((status.problem, status.serving), (None, Epoch(1)));
    assert_eq!(fetch(world.address, "/").await.text(), "old");
    world.route(next, None);
    let status = world.until(|status| status.serving == Epoch(2)).await;
    assert_eq!(status.prepared, None);
    assert_eq!(fetch(world.address, "/").await.text(), "new");
}

#[tokio::test]
async fn an_instance_that_answers_with_500_does_not_make_a_table_ready() {
    let answer = Arc::new(AtomicU16::new(500));
    let shown = Arc::clone(&answer);
    let sick = App::start(move |_| {
        let shown = shown.load(Ordering::SeqCst);
        async move { status(shown) }
    })
    .await;
    let old = App::saying("old").await;
    let world = World::serving(&[old.address]).await;
    world.place(&[(1, old.address), (2, sick.address)]);
    world.route(table(1, vec![shop(&[1])]), Some(table(2, vec![shop(&[2])])));
    world.until(|status| status.problem.as_ref().is_some_and(|why| why.contains("500"))).await;
    answer.store(404, Ordering::SeqCst);
    world.until(|status| status.prepared == Some(Epoch(2))).await;
}

#[tokio::test]
async fn one_answering_instance_is_enough_and_the_others_are_reported() {
    let (old, well) = (App::saying("old").await, App::saying("new").await);
    let world = World::serving(&[old.address]).await;
    world.place(&[(1, old.address), (2, well.address), (3, nobody())]);
    world.flip(table(1, vec![shop(&[1])]), table(2, vec![shop(&[2, 3])])).await;
    world.until(|status| status.unhealthy == [InstanceId(3)]).await;
    for _ in 0..10 {
        assert_eq!(fetch(world.address, "/").await.text(), "new");
    }
}

#[tokio::test]
async fn a_table_that_is_withdrawn_is_neither_ready_nor_served() {
    let (old, new) = (App::saying("old").await, App::saying("new").await);
    let world = World::serving(&[old.address]).await;
    world.place(&[(1, old.address), (2, new.address)]);
    let serving = table(1, vec![shop(&[1])]);
    world.route(serving.clone(), Some(table(2, vec![shop(&[2])])));
    world.until(|status| status.prepared == Some(Epoch(2))).await;
    world.route(serving.clone(), None);
    world.until(|status| status.prepared.is_none()).await;
    world.flip(serving, table(3, vec![shop(&[2])])).await;
    assert_eq!(fetch(world.address, "/").await.text(), "new");
}

#[tokio::test]
async fn a_balancer_that_missed_the_preparation_serves_what_the_server_says() {
    let (old, new) = (App::saying("old").await, App::saying("new").await);
    let mut world = World::serving(&[old.address]).await;
    world.server.go_away();
    world.place(&[(1, old.address), (2, new.address)]);
    world.route(table(7, vec![shop(&[2])]), None);
    assert_eq!(fetch(world.address, "/").await.text(), "old");
    world.server.come_back().await;
    world.until(|status| status.serving == Epoch(7)).await;
    assert_eq!(fetch(world.address, "/").await.text(), "new");
}

#[tokio::test]
async fn a_balancer_cut_off_after_it_was_ready_serves_the_old_table_until_it_hears() {
    let (old, new) = (App::saying("old").await, App::saying("new").await);
    let mut world = World::serving(&[old.address]).await;
    world.place(&[(1, old.address), (2, new.address)]);
    let (before, after) = (table(1, vec![shop(&[1])]), table(2, vec![shop(&[2])]));
    world.route(before, Some(after.clone()));
    world.until(|status| status.prepared == Some(Epoch(2))).await;
    world.server.go_away();
    // Committed without it: it cannot know.
    world.route(after, None);
    assert_eq!(fetch(world.address, "/").await.text(), "old");
    world.stop().await;
    world.start().await;
    assert_eq!(fetch(world.address, "/").await.text(), "old", "being ready is not being told");
    world.server.come_back().await;
    world.until(|status| status.serving == Epoch(2)).await;
    assert_eq!(fetch(world.address, "/").await.text(), "new");
}

#[tokio::test]
async fn the_last_table_is_served_while_the_server_is_away_and_after_it_forgot_everything() {
    let app = App::saying("still here").await;
    let mut world = World::serving(&[app.address]).await;
    world.server.go_away();
    assert_eq!(fetch(world.address, "/").await.text(), "still here");
    world.server.forget_everything();
    world.server.come_back().await;
    // The watch begins anew and lists nothing; the report shows that it has been heard.
    let before = world.until(|_| true).await.requests;
    fetch(world.address, "/").await;
    world.until(|status| status.requests > before).await;
    assert_eq!(fetch(world.address, "/").await.text(), "still here");
}

#[tokio::test]
async fn a_server_that_is_back_is_told_at_once_and_not_at_the_next_sign_of_life() {
    let mut world = World::empty().await;
    let mut status = world.server.status();
    // So often that signs of life come too late.
    within(async {
        for _ in 0..20 {
            world.server.go_away();
            status.mark_unchanged();
            world.server.come_back().await;
            status.changed().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_restart_without_the_server_serves_the_last_table_from_instances_that_answer() {
    let (well, gone) = (App::saying("well").await, App::saying("gone").await);
    let mut world = World::serving(&[well.address, gone.address]).await;
    let saved = world.folder.path().join("balancer/state.json");
    eventually(|| std::fs::read_to_string(&saved).is_ok_and(|text| text.contains("\"i2\""))).await;
    world.server.go_away();
    drop(gone);
    world.stop().await;
    world.start().await;
    for _ in 0..10 {
        assert_eq!(fetch(world.address, "/").await.text(), "well");
    }
    world.server.come_back().await;
    let status = world.until(|status| status.serving == Epoch(1) && !status.unhealthy.is_empty()).await;
    assert_eq!(status.unhealthy, [InstanceId(2)]);
}

#[tokio::test]
async fn an_instance_that_moves_is_found_at_its_new_address() {
    let (before, after) = (App::saying("before").await, App::saying("after").await);
    let world = World::serving(&[before.address]).await;
    assert_eq!(fetch(world.address, "/").await.text(), "before");
    world.place(&[(1, after.address)]);
    within(async { while fetch(world.address, "/").await.text() != "after" {} }).await;
}

#[tokio::test]
async fn an_instance_goes_out_of_its_pool_when_its_probes_fail_and_comes_back() {
    let answer = Arc::new(AtomicU16::new(200));
    let shown = Arc::clone(&answer);
    let app = App::start(move |request| {
        let shown = if request.uri().path() == "/healthz" { shown.load(Ordering::SeqCst) } else { 418 };
        async move { status(shown) }
    })
    .await;
    let other = App::saying("other").await;
    let world = World::serving(&[app.address, other.address]).await;
    answer.store(503, Ordering::SeqCst);
    world.until(|status| status.unhealthy == [InstanceId(1)]).await;
    for _ in 0..10 {
        assert_eq!(fetch(world.address, "/").await.text(), "other");
    }
    answer.store(302, Ordering::SeqCst);
    world.until(|status| status.unhealthy.is_empty()).await;
    within(async { while fetch(world.address, "/").await.status != 418 {} }).await;
}

#[tokio::test]
async fn probes_ask_for_the_health_path_with_the_name_of_the_app() {
    let (heard, mut hearing) = tokio::sync::mpsc::unbounded_channel();
    let app = App::start(move |request| {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let _ = heard.send(format!("{host}{}", request.uri()));
        async { status(200) }
    })
    .await;
    let _world = World::serving(&[app.address]).await;
    assert_eq!(within(hearing.recv()).await.unwrap(), "shop.example/healthz");
}

#[tokio::test]
async fn probes_ask_under_an_exact_name_of_the_app_also_for_its_wildcards() {
    let (heard, mut hearing) = tokio::sync::mpsc::unbounded_channel();
    let app = App::start(move |request| {
        let _ = heard.send(request.headers()["host"].to_str().unwrap().to_owned());
        async { status(200) }
    })
    .await;
    let world = World::empty().await;
    world.place(&[(1, app.address)]);
    let wildcard = || route("*.shop.example", "/", &[1]);
    world.flip(table(0, Vec::new()), table(1, vec![wildcard(), shop(&[1])])).await;
    assert_eq!(within(hearing.recv()).await.unwrap(), "shop.example");
    world.serve(2, vec![wildcard()]).await;
    within(async { while hearing.recv().await.unwrap() != "www.shop.example" {} }).await;
    let request = http::Request::get("/").header("host", "a.b.shop.example");
    let answer = ask(world.address, request.body(tandem_kit::http::empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_balancer_that_was_never_told_anything_does_not_deny_that_an_app_exists() {
    let mut world = World::empty().await;
    assert_eq!(fetch(world.address, "/").await.status, 404);
    world.server.go_away();
    world.stop().await;
    let saved = world.folder.path().join("balancer/state.json");
    assert!(!saved.exists(), "an empty table was saved");
    world.start().await;
    let answer = fetch(world.address, "/").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"));
    world.server.come_back().await;
    within(async { while fetch(world.address, "/").await.status != 404 {} }).await;
}

#[tokio::test]
async fn an_instance_that_hangs_is_out_of_its_pool_from_a_restart_on() {
    let hang = Arc::new(AtomicBool::new(false));
    let (well, shown) = (App::saying("well").await, Arc::clone(&hang));
    let hanging = App::start(move |_| {
        let shown = Arc::clone(&shown);
        async move {
            while shown.load(Ordering::SeqCst) {
                std::future::pending().await
            }
            status(200)
        }
    })
    .await;
    let mut world = World::serving(&[well.address, hanging.address]).await;
    let saved = world.folder.path().join("balancer/state.json");
    eventually(|| std::fs::read_to_string(&saved).is_ok_and(|text| text.contains("\"i2\""))).await;
    world.server.go_away();
    world.stop().await;
    hang.store(true, Ordering::SeqCst);
    world.start().await;
    assert_eq!(fetch(world.address, "/").await.text(), "well");
    world.server.come_back().await;
    world.until(|status| status.unhealthy == [InstanceId(2)]).await;
}

#[tokio::test]
async fn a_balancer_that_is_told_to_end_has_its_last_table_on_the_disk() {
    let app = App::saying("the app").await;
    let mut world = World::empty().await;
    world.place(&[(1, app.address)]);
    for epoch in 1..=10 {
        world.serve(epoch, vec![shop(&[1])]).await;
        world.stop().await;
        let saved = std::fs::read_to_string(world.folder.path().join("balancer/state.json")).unwrap();
        assert!(saved.contains(&format!("\"epoch\":\"e{epoch}\"")), "after {epoch}: {saved}");
        world.start().await;
    }
}
