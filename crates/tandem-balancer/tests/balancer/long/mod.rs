//! What takes minutes: a million requests through two hundred tables, thousands of slow connections, a server that is
//! away for a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tandem_kit::tasks;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::app::App;
use super::client::{Client, fetch, get, read_until};
use super::dial::Dial;
use super::tls::certificate;
use super::world::{World, shop, table, within};
use tandem_balancer::WaitLimits;

mod app;
mod clients;

use app::everything;
use clients::{Count, Way};

/// Requests in all.
const REQUESTS: u64 = 1_000_000;
/// Changes of the table meanwhile.
const FLIPS: u64 = 200;
/// So many connections send one byte a second.
const SLOW: usize = 8_000;

/// Waits for something that may take as long as it takes; whoever hangs is ended by the test's own limit.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_requests_through_two_hundred_tables_are_all_answered() {
    let (one, two) = (everything("one").await, everything("two").await);
    let (own, root) = certificate(&["shop.example"]);
    let mut world = World::empty().await;
    world.stop().await;
    // No websocket is ended by the drain while this goes on.
    world.drain_limit = Duration::from_secs(36_000);
    world.secure = Some("127.0.0.1:0".parse().unwrap());
    world.certificates.set(&[own]);
    world.start().await;
    world.place(&[(1, one.address), (2, two.address)]);
    let at = |epoch: u64| table(epoch, vec![shop(&[1 + epoch % 2])]);
    world.serve(1, vec![shop(&[2])]).await;
    let count = Arc::new(Count::default());
    let ways = [
        (Way::Kept, 24),
        (Way::Pipelined, 8),
        (Way::Chunked, 8),
        (Way::Slow, 32),
        (Way::Fresh, 4),
        (Way::Socket, 16),
        (Way::Tls, 4),
        (Way::FreshTls, 2),
        (Way::Http2, 2),
        (Way::PlainHttp2, 2),
    ];
    let mut clients = Vec::new();
    for (way, number) in ways {
        let dial = match way {
            Way::Tls | Way::FreshTls => Dial::tls(world.secure.unwrap(), &root),
            Way::Http2 => Dial::http2(world.secure.unwrap(), &root),
            _ => Dial::plain(world.address),
        };
        for _ in 0..number {
            clients.push(tasks::owned("client", clients::run(way, dial.clone(), Arc::clone(&count))));
        }
    }
    for flip in 1..=FLIPS {
        until(|| count.answered() >= flip * REQUESTS / (FLIPS + 1) || count.has_failed()).await;
        world.flip(at(flip), at(flip + 1)).await;
    }
    until(|| count.answered() >= REQUESTS || count.has_failed()).await;
    count.stop();
    for client in clients {
        within(client).await;
    }
    count.expect_nothing_lost(&ways.map(|(way, _)| way));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_that_send_a_byte_a_second_do_not_hold_up_others() {
    let app = App::saying("well").await;
    let mut world = World::serving(&[app.address]).await;
    world.stop().await;
    // They are not to be closed for that: what is proved is that they cost the others nothing.
    world.limits = WaitLimits { head: 1200, client: 1200, ..WaitLimits::default() };
    world.most_connections = Some(SLOW + 100);
    world.start().await;
    let mut slow = Vec::new();
    for number in 0..SLOW {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        // Some in a head; some, each of which has a connection of the instance as well, in a body.
        let begun = match number % 40 {
            0 => "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1000\r\n\r\n",
            _ => "GET / HTTP/1.1\r\nX: ",
        };
        stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let others = (0..8).map(|_| {
        let (stop, answered, address) = (Arc::clone(&stop), Arc::clone(&answered), world.address);
        tasks::owned("other", async move {
            let mut client = Client::connect(address).await;
            while !stop.load(Ordering::SeqCst) {
                assert_eq!(client.ask(get("/")).await.unwrap().text(), "well");
                assert_eq!(fetch(address, "/").await.text(), "well");
                answered.fetch_add(2, Ordering::SeqCst);
            }
        })
    });
    let others: Vec<_> = others.collect();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..20 {
        seconds.tick().await;
        for stream in &mut slow {
            stream.write_all(b"x").await.unwrap();
        }
    }
    stop.store(true, Ordering::SeqCst);
    for other in others {
        within(other).await;
    }
    let answered = answered.load(Ordering::SeqCst);
    assert!(answered > 1000, "only {answered} requests of others were made");
    // Each is still served: what it began is a request once it is whole.
    for stream in slow.iter_mut().skip(1).step_by(SLOW / 10) {
        stream.write_all(b"\r\nHost: shop.example\r\n\r\n").await.unwrap();
        assert!(read_until(stream, "well").await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn a_server_that_is_away_for_a_minute_stops_nobody() {
    let (one, two) = (everything("one").await, everything("two").await);
    let mut world = World::serving(&[one.address, two.address]).await;
    let count = Arc::new(Count::default());
    let ways = [Way::Kept, Way::Fresh, Way::Chunked, Way::Socket];
    let clients: Vec<_> = ways
        .map(|way| tasks::owned("client", clients::run(way, Dial::plain(world.address), Arc::clone(&count))))
        .into_iter()
        .collect();
    world.server.go_away();
    // The minute itself is what is proved: nothing that runs out meanwhile may matter.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.route(table(2, vec![shop(&[2])]), None);
    world.server.come_back().await;
    world.until(|status| status.serving == tandem_types::Epoch(2)).await;
    count.stop();
    for client in clients {
        within(client).await;
    }
    count.expect_nothing_lost(&ways);
}
