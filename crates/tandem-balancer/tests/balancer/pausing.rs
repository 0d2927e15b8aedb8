//! Environments that people paused.

use http::header::ACCEPT;
use tandem_types::pause::Pause;
use tandem_types::routing::Route;
use tandem_types::{Epoch, Timestamp};

use super::app::{App, text};
use super::blobs::Blobs;
use super::client::{Answer, ask, fetch, get};
use super::world::{World, shop, table, with_static};

fn paused(allow: &[&str], route: Route) -> Route {
    let mut route = route;
    let allow = allow.iter().map(|network| network.parse().unwrap()).collect();
    route.pool.paused = Some(Pause { since: Timestamp::UNIX_EPOCH, allow });
    route
}

async fn asked_for_html(world: &World) -> Answer {
    let mut request = get("/");
    request.headers_mut().insert(ACCEPT, "text/html".parse().unwrap());
    ask(world.address, request).await
}

async fn app() -> App {
    App::start(|request| async move { text(format!("app {}", request.uri().path())) }).await
}

#[tokio::test]
async fn a_paused_app_is_not_asked_but_for_its_health_and_for_challenges() {
    let app = app().await;
    let mut world = World::serving(&[app.address]).await;
    world.serve(2, vec![paused(&["192.0.2.0/24"], shop(&[1]))]).await;
    // It is told by a balancer that knows it from its own disk alone, too.
    for _ in 0..2 {
        let answer = fetch(world.address, "/").await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "60"));
        assert!(answer.text().contains("Closed for maintenance"), "{}", answer.text());
        let challenge = fetch(world.address, "/.well-known/acme-challenge/x").await;
        assert_eq!(challenge.text(), "app /.well-known/acme-challenge/x");
        world.stop().await;
        world.server.forget_everything();
        world.start().await;
    }
    world.until(|status| status.serving == Epoch(2) && status.unhealthy.is_empty()).await;
    world.serve(3, vec![shop(&[1])]).await;
    assert_eq!(fetch(world.address, "/").await.text(), "app /");
}

#[tokio::test]
async fn whom_the_pause_names_reaches_the_app() {
    let app = app().await;
    let world = World::serving(&[app.address]).await;
    world.serve(2, vec![paused(&["192.0.2.7", "127.0.0.0/8"], shop(&[1]))]).await;
    assert_eq!(fetch(world.address, "/").await.text(), "app /");
}

#[tokio::test]
async fn the_apps_own_page_is_shown_to_browsers_whether_it_is_paused_or_gone() {
    let (blobs, app) = (Blobs::new(), app().await);
    let tree = blobs.tree(&[("503.html", b"<h1>Back at noon"), ("site.css", b"body{}")]);
    let world = World::with_blobs(Some(blobs.store.clone())).await;
    world.place(&[(1, app.address)]);
    let closed = paused(&[], with_static(shop(&[1]), &[tree]));
    world.flip(table(0, Vec::new()), table(1, vec![closed])).await;
    for epoch in 2..4 {
        let answer = asked_for_html(&world).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (503, "<h1>Back at noon"));
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!answer.header("retry-after").is_empty());
        assert!(!fetch(world.address, "/").await.text().contains('<'), "programs get no page");
        assert_eq!(fetch(world.address, "/static/site.css").await.text(), "body{}");
        world.serve(epoch, vec![with_static(shop(&[]), &[tree])]).await;
    }
}
