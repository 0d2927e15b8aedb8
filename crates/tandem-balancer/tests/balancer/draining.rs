//! Nothing is lost when instances come and go, or when the balancer itself ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::{Method, Request};
use tandem_kit::http as bodies;
use tandem_kit::tasks;
use tandem_types::{Epoch, InstanceId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::{App, nobody};
use super::client::{Client, fetch, get, idle, read_until};
use super::slow::{Slow, old_and_new};
use super::world::{World, eventually, shop, table, within};

#[tokio::test]
async fn an_unrouted_instance_finishes_its_open_request_and_is_then_reported_drained() {
    let (world, old, _new) = old_and_new().await;
    let open = old.asked(&world).await;
    world.flip(table(1, vec![shop(&[1])]), table(2, vec![shop(&[2])])).await;
    let status = world.until(|status| status.serving == Epoch(2)).await;
    assert_eq!(status.draining.get(&InstanceId(1)), Some(&1));
    assert_eq!(fetch(world.address, "/slow").await.text(), "new");
    old.let_go();
    assert_eq!(open.await.unwrap().text(), "old");
    world.until(|status| status.draining.is_empty()).await;
}

#[tokio::test]
async fn kept_connections_to_an_unrouted_instance_are_closed() {
    let closed = Arc::<AtomicU64>::default();
    let counter = Arc::clone(&closed);
    let old = App::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            let end = stream.read(&mut [0]).await;
            if !head.contains("/healthz") && end.is_ok_and(|count| count == 0) {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let new = App::saying("new").await;
    let mut world = World::serving(&[old.address]).await;
    world.stop().await;
    // Otherwise they would be closed for their age.
    world.limits.kept = u32::MAX;
    world.start().await;
    world.place(&[(1, old.address), (2, new.address)]);
    let mut client = Client::connect(world.address).await;
    client.ask(get("/")).await.unwrap();
    world.serve(2, vec![shop(&[2])]).await;
    eventually(|| closed.load(Ordering::SeqCst) == 1).await;
}

/// Clients that ask as fast as they get answers, until told to stop; counts good answers, collects bad ones.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    clients: Vec<tasks::Owned<Vec<String>>>,
}

impl Load {
    fn start(world: &World, clients: usize) -> Self {
        let (stop, good) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let clients = (0..clients).map(|number| {
            let (stop, good, address) = (Arc::clone(&stop), Arc::clone(&good), world.address);
            tasks::owned("load", async move {
                let mut bad = Vec::new();
                let mut client = Client::connect(address).await;
                while !stop.load(Ordering::SeqCst) {
                    let request = if number % 2 == 0 {
                        get("/")
                    } else {
                        Request::post("/").header(HOST, "shop.example").body(bodies::full("write")).unwrap()
                    };
                    match client.ask(request).await {
                        Ok(answer) if answer.status == 200 => drop(good.fetch_add(1, Ordering::SeqCst)),
                        other => {
                            bad.push(format!("{other:?}"));
                            client = Client::connect(address).await;
                        }
                    }
                }
                bad
            })
        });
        Self { clients: clients.collect(), stop, good }
    }

    /// Stops and says what went wrong.
    async fn finish(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let bad = within(futures_util::future::join_all(self.clients)).await;
        (self.good.load(Ordering::SeqCst), bad.concat())
    }
}

#[tokio::test]
async fn two_hundred_flips_under_load_lose_nothing() {
    let world = World::empty().await;
    let mut apps = vec![(0, App::saying("app").await)];
    world.place(&[(0, apps[0].1.address)]);
    world.serve(0, vec![shop(&[0])]).await;
    // Epoch 0 is what a balancer without a table reports; wait until it really serves.
    while fetch(world.address, "/").await.status != 200 {}
    let load = Load::start(&world, 6);
    for epoch in 1..=200 {
        let app = App::saying("app").await;
        let (old, _) = apps[0];
        world.place(&[(old, apps[0].1.address), (epoch, app.address)]);
        world.flip(table(epoch - 1, vec![shop(&[old])]), table(epoch, vec![shop(&[epoch])])).await;
        apps.push((epoch, app));
        // What is un-routed and drained is stopped, as a runner does: its port refuses from now on.
        world.until(|status| !status.draining.contains_key(&InstanceId(old))).await;
        apps.remove(0);
    }
    let (good, bad) = load.finish().await;
    assert!(bad.is_empty(), "{} of {good} failed: {:.2000}", bad.len(), bad.join("\n"));
    assert!(good > 1000, "only {good} requests were made");
}

#[tokio::test]
async fn the_end_of_the_balancer_lets_open_requests_finish_and_takes_no_new_ones() {
    let app = Slow::saying("done").await;
    let mut world = World::serving(&[app.address]).await;
    let mut idle = idle(world.address, "done").await;
    let open = app.asked(&world).await;
    world.drain();
    // Idle connections are closed at once.
    assert_eq!(within(idle.read(&mut [0])).await.unwrap(), 0);
    let address = world.address;
    within(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    app.let_go();
    let answer = open.await.unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("done", "close"));
    world.stop().await;
}

#[tokio::test]
async fn the_end_of_the_balancer_waits_only_so_long() {
    let app = Slow::saying("done").await;
    let mut world = World::serving(&[app.address]).await;
    world.stop().await;
    world.drain_limit = Duration::from_millis(200);
    world.start().await;
    let open = app.sent(&world, Method::POST).await;
    world.stop().await;
    assert!(open.await.is_err());
}

#[tokio::test]
async fn a_second_balancer_does_not_take_the_folder_or_the_port_of_the_first() {
    use tandem_balancer::{Balancer, BuildError, Config};
    let world = World::serving(&[nobody()]).await;
    let server = tandem_kit::api::Server::Unix("/nowhere".into());
    let taken = world.folder.path().join("balancer");
    let config = |folder, port| {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Config::new("other".parse().unwrap(), server.clone(), folder, vec![address])
    };
    assert!(matches!(Balancer::build(config(taken.clone(), 0)).await, Err(BuildError::Taken { .. })));
    let own = world.folder.path().join("own");
    assert!(matches!(Balancer::build(config(own, world.address.port())).await, Err(BuildError::Listen(_))));
    let process = tandem_balancer::Process::find(&taken).unwrap().unwrap();
    assert_eq!((process.pid, process.http[0]), (std::process::id(), world.address));
}
