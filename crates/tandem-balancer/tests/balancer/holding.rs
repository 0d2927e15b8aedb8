//! Requests that wait while nobody can be reached.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::HOST;
use http::{Method, Request, StatusCode};
use tandem_kit::http as bodies;
use tandem_kit::tasks::{self, Owned};
use tandem_types::routing::Route;
use tandem_types::{InstanceId, Span};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::app::{App, nobody};
use super::client::{Answer, ask, fetch, get, read_until};
use super::requests::echo;
use super::world::{PATIENCE, World, shop, within};

/// Longer than any test waits.
pub(super) const LONG: Span = Span::seconds(10 * PATIENCE.as_secs());

/// The same route, whose requests wait.
fn holding(hold: Span, route: Route) -> Route {
    let mut route = route;
    route.pool.limits.hold = Some(hold);
    route
}

/// A balancer whose requests wait for the one instance at an address.
pub(super) async fn waiting_for(address: SocketAddr, hold: Span) -> World {
    let world = World::empty().await;
    world.place(&[(1, address)]);
    world.serve(1, vec![holding(hold, shop(&[1]))]).await;
    world
}

fn asking(world: &World, request: http::Request<tandem_kit::http::Body>) -> Owned<Answer> {
    tasks::owned("client", ask(world.address, request))
}

/// Waits until a request has found out that the instance is gone.
async fn missed(world: &World) {
    world.until(|status| status.unhealthy == [InstanceId(1)]).await;
}

/// Waits until a request is seen to be under way.
async fn under_way(world: &World) {
    let mut traffic = world.server.traffic();
    let is_open = |reports: &Vec<tandem_types::traffic::TrafficReport>| {
        reports.last().is_some_and(|report| report.releases.iter().any(|release| release.in_flight == 1))
    };
    within(traffic.wait_for(is_open)).await.unwrap();
}

#[tokio::test]
async fn a_request_waits_while_the_only_instance_is_started_again() {
    let address = nobody();
    let world = waiting_for(address, LONG).await;
    let post = Request::post("/").header(HOST, "shop.example").body(bodies::full("the whole body")).unwrap();
    let answers = [asking(&world, post), asking(&world, get("/"))];
    missed(&world).await;
    let _app = App::raw_on(address, |mut stream| async move {
        let head = read_until(&mut stream, "\r\n\r\n").await;
        if head.starts_with("POST") {
            read_until(&mut stream, "the whole body").await;
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            .await
            .unwrap();
    })
    .await;
    for answer in answers {
        let answer = within(answer).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "hello"));
    }
}

#[tokio::test]
async fn a_request_waits_for_an_instance_that_comes_up_elsewhere() {
    let world = waiting_for(nobody(), LONG).await;
    let answer = asking(&world, get("/"));
    missed(&world).await;
    let app = App::saying("hello").await;
    world.place(&[(1, app.address)]);
    assert_eq!(within(answer).await.text(), "hello");
}

#[tokio::test]
async fn a_request_waits_for_a_table_with_instances() {
    let world = World::empty().await;
    world.serve(1, vec![holding(LONG, shop(&[]))]).await;
    let answer = asking(&world, get("/"));
    under_way(&world).await;
    let app = App::saying("hello").await;
    world.place(&[(1, app.address)]);
    world.serve(2, vec![holding(LONG, shop(&[1]))]).await;
    assert_eq!(within(answer).await.text(), "hello");
}

#[tokio::test]
async fn nobody_waits_longer_than_the_app_says() {
    let world = waiting_for(nobody(), Span::millis(50)).await;
    let answer = fetch(world.address, "/").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"));
}

#[tokio::test]
async fn a_client_that_sends_no_more_does_not_keep_its_place() {
    let world = waiting_for(nobody(), LONG).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
    missed(&world).await;
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    within(client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

/// It is sent a second time as it would be to another instance, were there one.
#[tokio::test]
async fn what_a_killed_instance_took_along_is_answered_by_its_successor_if_that_is_safe() {
    for (method, status) in [(Method::GET, 200), (Method::POST, 502)] {
        let taken = Arc::new(Notify::new());
        let taking = Arc::clone(&taken);
        let app = App::raw(move |mut stream| {
            let taking = Arc::clone(&taking);
            async move {
                let head = read_until(&mut stream, "\r\n\r\n").await;
                if head.contains("/healthz") {
                    return;
                }
                taking.notify_one();
                std::future::pending().await
            }
        })
        .await;
        let world = waiting_for(app.address, LONG).await;
        let mut request = get("/");
        *request.method_mut() = method.clone();
        let answer = asking(&world, request);
        within(taken.notified()).await;
        // With all that it has open.
        drop(app);
        if status == 200 {
            missed(&world).await;
        }
        let successor = echo().await;
        world.place(&[(1, successor.address)]);
        assert_eq!(within(answer).await.status, status, "{method}");
    }
}
