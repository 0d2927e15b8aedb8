//! Figures are read at an address of their own, and what is read there is what clients have seen.

use std::net::SocketAddr;

use http::Request;
use http::header::{ACCEPT, HOST};
use tandem_kit::http as bodies;
use tokio::net::TcpStream;

use super::app::{App, nobody};
use super::client::{Answer, ask, fetch};
use super::tunnels::{echoing, switched};
use super::world::{World, eventually, route, shop, within};

const R1: &str = "app=\"shop\",environment=\"production\",release=\"r1\"";

/// A world whose balancer shows its figures.
async fn watched(apps: &[SocketAddr]) -> (World, SocketAddr) {
    let mut world = World::serving(apps).await;
    world.stop().await;
    world.metrics = Some("127.0.0.1:0".parse().unwrap());
    world.start().await;
    let address = world.metrics.unwrap();
    (world, address)
}

async fn read(address: SocketAddr) -> String {
    let answer = fetch(address, "/metrics").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    answer.text().to_owned()
}

/// The value of a sample; none where it is not on the page.
fn value(page: &str, sample: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// Reads until a sample has a value: threads tell each second.
async fn until(address: SocketAddr, (sample, wanted): (&str, f64)) -> String {
    within(async {
        loop {
            let page = read(address).await;
            if value(&page, sample) == Some(wanted) {
                return page;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

fn requests(class: &str) -> String {
    format!("tandem_requests_total{{{R1},status_class=\"{class}\"}}")
}

#[tokio::test]
async fn what_clients_saw_is_read_by_release_and_class_and_rises_for_ever() {
    let app = App::saying("hello").await;
    let (world, address) = watched(&[app.address]).await;
    let post = || {
        let request = Request::post("/").header(HOST, "shop.example");
        request.body(bodies::full("name=value")).unwrap()
    };
    for _ in 0..3 {
        assert_eq!(ask(world.address, post()).await.text(), "hello");
    }
    let page = until(address, (&requests("2xx"), 3.0)).await;
    let of_class = format!("{R1},status_class=\"2xx\"");
    let bucket = |le: &str| {
        value(&page, &format!("tandem_request_duration_seconds_bucket{{{of_class},le=\"{le}\"}}")).unwrap()
    };
    assert_eq!((bucket("60.0"), bucket("+Inf")), (3.0, 3.0), "{page}");
    let of = |name: &str, labels: &str| value(&page, &format!("{name}{{{labels}}}"));
    assert_eq!(of("tandem_request_duration_seconds_count", &of_class), Some(3.0));
    assert!(of("tandem_request_duration_seconds_sum", &of_class).unwrap() > 0.0);
    assert_eq!(of("tandem_request_body_bytes_total", R1), Some(30.0));
    assert_eq!(of("tandem_response_body_bytes_total", R1), Some(15.0));
    assert_eq!(of("tandem_instances", &format!("{R1},state=\"ready\"")), Some(1.0));
    assert_eq!(of("tandem_requests_in_flight", R1), Some(0.0));
    assert!(page.contains("tandem_build_info{version=\""), "{page}");
    // The server was told of the same, and nothing was taken from the sums by that.
    let told = |reports: &Vec<tandem_types::traffic::TrafficReport>| {
        let classes = reports.iter().flat_map(|report| &report.releases).flat_map(|release| &release.classes);
        classes.flat_map(|class| &class.buckets).map(|(_, count)| *count).sum::<u32>() == 3
    };
    within(world.server.traffic().wait_for(told)).await.unwrap();
    ask(world.address, post()).await;
    until(address, (&requests("2xx"), 4.0)).await;
}

#[tokio::test]
async fn what_is_open_and_what_is_unwell_is_shown() {
    let app = echoing().await;
    let (world, address) = watched(&[app.address]).await;
    let stream = switched(&world).await;
    let page = until(address, (&format!("tandem_requests_in_flight{{{R1}}}"), 1.0)).await;
    assert_eq!(value(&page, "tandem_client_connections"), Some(1.0), "{page}");
    let instance = format!("{R1},instance_id=\"i1\",address=\"{}\"", app.address);
    assert_eq!(
        value(&page, &format!("tandem_instance_requests_in_flight{{{instance}}}")),
        Some(1.0),
        "{page}"
    );
    drop(stream);
    until(address, (&requests("1xx"), 1.0)).await;
    world.place(&[(1, app.address), (2, nobody())]);
    world.serve(2, vec![shop(&[1, 2]), route("shop.example", "/again", &[2])]).await;
    let page = until(address, (&format!("tandem_instances{{{R1},state=\"unhealthy\"}}"), 1.0)).await;
    assert_eq!(value(&page, &format!("tandem_instances{{{R1},state=\"ready\"}}")), Some(1.0), "{page}");
}

#[tokio::test]
async fn what_belongs_to_no_app_is_shown_without_one_and_open_metrics_end_with_a_mark() {
    let (world, address) = watched(&[]).await;
    let request = Request::get("/").header(HOST, "nobodys.example").body(bodies::empty()).unwrap();
    assert_eq!(ask(world.address, request).await.status, 404);
    let nobodys = "tandem_requests_total{app=\"\",environment=\"\",release=\"\",status_class=\"4xx\"}";
    until(address, (nobodys, 1.0)).await;
    let request = Request::get("/metrics").header(HOST, "x").header(ACCEPT, "application/openmetrics-text");
    let Answer { headers, body, .. } = ask(address, request.body(bodies::empty()).unwrap()).await;
    assert_eq!(headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(body.ends_with(b"\n# EOF\n"));
    assert_ne!(fetch(world.address, "/metrics").await.status, 200, "the world does not see them");
}

#[tokio::test]
async fn who_takes_over_serves_the_same_address_and_begins_anew() {
    let app = App::saying("hello").await;
    let (mut world, address) = watched(&[app.address]).await;
    fetch(world.address, "/").await;
    until(address, (&requests("2xx"), 1.0)).await;
    let before = world.hand_over().await.unwrap();
    assert_eq!(world.metrics, Some(address));
    before.ended().await;
    eventually(|| std::net::TcpStream::connect(address).is_ok()).await;
    assert_eq!(value(&read(address).await, &requests("2xx")), None, "the new one has seen nothing yet");
    fetch(world.address, "/").await;
    until(address, (&requests("2xx"), 1.0)).await;
}

#[tokio::test]
async fn who_hangs_on_keeps_others_waiting_for_a_while_and_requests_not_at_all() {
    let app = App::saying("hello").await;
    let (world, address) = watched(&[app.address]).await;
    let mut hanging = Vec::new();
    for _ in 0..20 {
        hanging.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(fetch(world.address, "/").await.text(), "hello");
    // Those that say nothing are cut off, and leave their places to others.
    drop(hanging.split_off(10));
    read(address).await;
}
