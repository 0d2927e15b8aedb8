//! Each request makes one record, however it ends, and the record says how.

use std::time::Duration;

use http::Request;
use http::header::HOST;
use socket2::SockRef;
use tandem_kit::http as bodies;
use tandem_types::traffic::{AnsweredBy, RequestRecord, TrafficReport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::{App, nobody};
use super::blobs::Blobs;
use super::client::{ask, fetch, raw, read_until};
use super::tunnels::{echo, echoing, switched};
use super::world::{World, shop, table, with_static, within};
use tandem_record::{AccessFormat, AccessLogConfig};

/// Waits until the balancer has told of so many requests; there must be no more than that.
async fn told(world: &World, count: usize) -> Vec<RequestRecord> {
    let mut reports = world.server.traffic();
    let all = |reports: &[TrafficReport]| -> Vec<RequestRecord> {
        reports.iter().flat_map(|report| report.latest.clone()).collect()
    };
    let waited = within(reports.wait_for(|reports| all(reports).len() >= count)).await;
    let reports = waited.unwrap().clone();
    let records = all(&reports);
    let classes = reports.iter().flat_map(|report| &report.releases).flat_map(|release| &release.classes);
    let counted: u32 = classes.flat_map(|class| &class.buckets).map(|(_, count)| *count).sum();
    assert_eq!((records.len(), counted as usize), (count, count), "{records:#?}");
    records
}

/// The only one.
async fn only(world: &World) -> RequestRecord {
    told(world, 1).await.remove(0)
}

#[tokio::test]
async fn an_answered_request_is_recorded_with_everything_that_is_known_of_it() {
    let app = App::saying("hello").await;
    let world = World::serving(&[app.address]).await;
    let request = Request::post("/form?token=secret").header(HOST, "shop.example");
    let request = request.header("x-request-id", "abc").body(bodies::full("name=value")).unwrap();
    let before = world.clock.now();
    assert_eq!(ask(world.address, request).await.text(), "hello");
    let record = only(&world).await;
    let served = record.served.unwrap();
    assert_eq!((served.app.as_str(), served.environment.as_str()), ("shop", "production"));
    assert_eq!((served.release.0, record.instance.unwrap().0), (1, 1));
    assert_eq!((record.method.as_str(), record.host.as_str()), ("POST", "shop.example"));
    assert_eq!((record.path.as_str(), record.status), ("/form", Some(200)));
    assert_eq!((record.answered_by, record.retried, record.cut), (AnsweredBy::Instance, false, false));
    assert_eq!((record.bytes_in, record.bytes_out), (10, 5));
    assert_eq!((record.request_id.as_str(), record.client.as_str()), ("abc", "127.0.0.1"));
    assert!(record.connect_us > 0 && record.connect_us + record.queue_us <= record.first_byte_us);
    assert!(record.first_byte_us <= record.total_us && record.total_us < 20_000_000);
    let second = Duration::from_secs(1);
    assert!(record.time + second >= before && record.time <= world.clock.now() + second, "{}", record.time);
}

#[tokio::test]
async fn what_is_refused_is_recorded_without_an_app() {
    let world = World::empty().await;
    raw(world.address, "\0\0\0\0\r\n\r\n").await;
    raw(world.address, "GET /a?b HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    raw(world.address, "CONNECT shop.example:80 HTTP/1.1\r\nHost: shop.example:80\r\n\r\n").await;
    world.serve(1, Vec::new()).await;
    fetch(world.address, "/nobodys").await;
    let records = told(&world, 4).await;
    let is_nobodys =
        |record: &RequestRecord| record.served.is_none() && record.answered_by == AnsweredBy::Balancer;
    assert!(records.iter().all(|record| is_nobodys(record) && !record.cut), "{records:#?}");
    let mut seen: Vec<_> = records.iter().map(|r| (r.status, r.method.as_str(), r.path.as_str())).collect();
    seen.sort_unstable();
    let expected = [
        (Some(400), "", ""),
        (Some(400), "GET", "/a"),
        (Some(404), "GET", "/nobodys"),
        (Some(405), "CONNECT", ""),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_nobody_could_be_given_belongs_to_the_release_that_lacks_instances() {
    let world = World::serving(&[nobody(), nobody()]).await;
    assert_eq!(fetch(world.address, "/").await.status, 503);
    let record = only(&world).await;
    assert_eq!((record.status, record.answered_by), (Some(503), AnsweredBy::Balancer));
    assert_eq!(record.served.unwrap().release.0, 1);
    assert!(record.retried && record.instance.is_some() && record.connect_us == 0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_recorded_as_cut_with_what_came_of_it() {
    let app = App::raw(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello").await.unwrap();
        // Of an answer of which its client has heard nothing another one is made.
        tokio::time::sleep(Duration::from_millis(300)).await;
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let answer = raw(world.address, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    let record = only(&world).await;
    assert_eq!((record.status, record.cut, record.bytes_out), (Some(200), true, 5));
    let reports = world.server.traffic().borrow().clone();
    assert_eq!(reports.iter().flat_map(|report| &report.releases).map(|release| release.cut).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_recorded_without_a_status() {
    let (asked, was_asked) = tokio::sync::watch::channel(false);
    let app = App::raw(move |mut stream| {
        let asked = asked.clone();
        async move {
            if read_until(&mut stream, "\r\n\r\n").await.starts_with("GET /slow") {
                asked.send_replace(true);
            }
            std::future::pending().await
        }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
    within(was_asked.clone().wait_for(|asked| *asked)).await.unwrap();
    // Reset, and not only closed: a client that sends no more may wait for its answer.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    let record = only(&world).await;
    assert_eq!((record.status, record.cut, record.path.as_str()), (None, true, "/slow"));
    assert_eq!(record.served.unwrap().release.0, 1);
}

#[tokio::test]
async fn a_static_file_is_recorded_as_one() {
    let (blobs, app) = (Blobs::new(), App::saying("app").await);
    let tree = blobs.tree(&[("site.css", b"body{}")]);
    let world = World::with_blobs(Some(blobs.store.clone())).await;
    world.place(&[(1, app.address)]);
    world.flip(table(0, Vec::new()), table(1, vec![with_static(shop(&[1]), &[tree])])).await;
    assert_eq!(fetch(world.address, "/static/site.css").await.text(), "body{}");
    let record = only(&world).await;
    assert_eq!((record.answered_by, record.status, record.bytes_out), (AnsweredBy::File, Some(200), 6));
    assert!(record.served.is_some() && record.instance.is_none() && !record.cut);
}

#[tokio::test]
async fn a_websocket_is_under_way_while_it_is_open_and_recorded_when_it_ends() {
    let app = echoing().await;
    let world = World::serving(&[app.address]).await;
    let mut stream = switched(&world).await;
    let mut welcome = [0; 7];
    within(stream.read_exact(&mut welcome)).await.unwrap();
    echo(&mut stream, "twelve bytes").await;
    let mut reports = world.server.traffic();
    let is_open = |reports: &Vec<TrafficReport>| {
        reports.iter().flat_map(|report| &report.releases).any(|release| release.in_flight == 1)
    };
    let open = within(reports.wait_for(is_open)).await.unwrap().clone();
    assert!(open.iter().all(|report| report.latest.is_empty()), "{open:#?}");
    drop(stream);
    let record = only(&world).await;
    assert_eq!((record.status, record.answered_by), (Some(101), AnsweredBy::Instance));
    assert_eq!((record.bytes_in, record.bytes_out), (12, 19));
    assert!(record.total_us >= record.first_byte_us && !record.cut && record.path == "/socket");
    let reports = world.server.traffic().borrow().clone();
    assert!(reports.iter().all(|report| report.slowest.is_empty()), "it lasted, but it is not slow");
}

#[tokio::test]
async fn the_access_log_has_a_line_for_each_request_when_the_balancer_has_ended() {
    let app = App::saying("hello").await;
    let mut world = World::serving(&[app.address]).await;
    world.stop().await;
    let path = world.folder.path().join("access.log");
    let (format, with_query) = (AccessFormat::Json, false);
    world.access_log = Some(AccessLogConfig { path: path.clone(), format, with_query });
    world.start().await;
    for number in 0..20 {
        fetch(world.address, &format!("/{number}?secret")).await;
    }
    world.stop().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<RequestRecord>(line).unwrap());
    let mut paths: Vec<_> = records.map(|record| record.path).collect();
    paths.sort_by_key(String::len);
    assert_eq!(paths.len(), 20, "{text}");
    assert!(!text.contains("secret") && paths.contains(&"/19".to_owned()));
}

#[tokio::test]
async fn a_server_that_is_away_holds_up_no_request() {
    let app = App::saying("hello").await;
    let mut world = World::serving(&[app.address]).await;
    world.server.go_away();
    for _ in 0..3 {
        assert_eq!(fetch(world.address, "/").await.text(), "hello");
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    world.server.come_back().await;
    assert_eq!(fetch(world.address, "/again").await.text(), "hello");
    let mut reports = world.server.traffic();
    let came = |reports: &Vec<TrafficReport>| {
        reports.iter().flat_map(|report| &report.latest).any(|record| record.path == "/again")
    };
    within(reports.wait_for(came)).await.unwrap();
}
