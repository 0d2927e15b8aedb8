//! One balancer after the other on the same sockets: nobody is refused, nothing is cut, nothing is stopped too early.

use std::time::Duration;

use tandem_types::{Epoch, InstanceId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::App;
use super::client::{Client, fetch, get, idle, read_until};
use super::slow::{Slow, old_and_new};
use super::tunnels::{echo, echoing, switched};
use super::world::{World, eventually, route, shop, table, within};
use tandem_balancer::{Balancer, BuildError, Config};

mod load;
mod secure;

pub(super) use load::Load;

#[tokio::test]
async fn under_load_nothing_is_lost_whatever_the_number_of_threads() {
    let app = App::saying("app").await;
    let mut world = World::serving(&[app.address]).await;
    let load = Load::at(world.address, 8);
    for threads in [1, 2, 1, 3, 1] {
        load.more().await;
        world.threads = threads;
        let before = world.hand_over().await.unwrap();
        load.more().await;
        before.ended().await;
    }
    let good = load.finish().await;
    assert!(good > 500, "only {good} requests were made");
}

#[tokio::test]
async fn connections_that_nobody_has_accepted_are_answered_by_the_new_one() {
    let app = Slow::saying("app").await;
    let mut world = World::serving(&[app.address]).await;
    world.stop().await;
    world.most_connections = Some(2);
    world.start().await;
    // Full, and nobody idle: each of its two sockets has one connection more in hand, all others wait in the queues.
    let admitted = [app.asked(&world).await, app.asked(&world).await];
    let mut waiting = Vec::new();
    for _ in 0..40 {
        waiting.push(TcpStream::connect(world.address).await.unwrap());
    }
    (world.threads, world.most_connections) = (3, None);
    let before = world.hand_over().await.unwrap();
    drop(admitted);
    for mut stream in waiting {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.ends_with("app"), "{answer}");
    }
    before.ended().await;
}

#[tokio::test]
async fn a_kept_connection_gets_one_more_answer_from_the_old_one_and_is_then_told_to_close() {
    let app = App::saying("app").await;
    let mut world = World::serving(&[app.address]).await;
    let mut kept = Client::connect(world.address).await;
    assert_eq!(kept.ask(get("/")).await.unwrap().header("connection"), "");
    let fresh = Client::connect(world.address).await;
    // Accepted, though nothing was asked yet.
    fetch(world.address, "/").await;
    let before = world.hand_over().await.unwrap();
    for mut client in [kept, fresh] {
        let answer = client.ask(get("/")).await.unwrap();
        assert_eq!((answer.text(), answer.header("connection")), ("app", "close"));
    }
    before.ended().await;
    let mut next = Client::connect(world.address).await;
    assert_eq!(next.ask(get("/")).await.unwrap().header("connection"), "");
}

#[tokio::test]
async fn a_long_request_and_a_websocket_go_on_and_count_until_they_end() {
    let old = Slow::saying("old").await;
    let (sockets, new) = (echoing().await, App::saying("new").await);
    let mut world = World::empty().await;
    world.stop().await;
    // No websocket is ended by chance while this goes on: the first one is after a tenth.
    world.drain_limit = Duration::from_secs(600);
    world.start().await;
    world.place(&[(1, old.address), (2, sockets.address), (3, new.address)]);
    let first = || vec![shop(&[1]), route("shop.example", "/socket", &[2])];
    world.serve(1, first()).await;
    let open = old.asked(&world).await;
    let mut socket = switched(&world).await;
    read_until(&mut socket, "welcome").await;
    let before = world.hand_over().await.unwrap();
    echo(&mut socket, "still here").await;
    // The old one holds requests of instances that the new one never sent any to.
    world.flip(table(1, first()), table(2, vec![shop(&[3])])).await;
    let status = world.until(|status| status.serving == Epoch(2) && status.draining.len() == 2).await;
    assert_eq!(status.draining, [(InstanceId(1), 1), (InstanceId(2), 1)].into());
    assert_eq!(fetch(world.address, "/slow").await.text(), "new");
    old.let_go();
    let answer = open.await.unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("old", "close"));
    world.until(|status| !status.draining.contains_key(&InstanceId(1))).await;
    assert!(!before.is_ended());
    echo(&mut socket, "and here").await;
    drop(socket);
    world.until(|status| status.draining.is_empty()).await;
    before.ended().await;
}

#[tokio::test]
async fn of_three_in_a_row_under_load_each_counts_until_its_own_requests_have_ended() {
    let (mut world, old, _new) = old_and_new().await;
    let load = Load::at(world.address, 4);
    let (mut open, mut before) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        open.push(old.asked(&world).await);
        before.extend(world.hand_over().await);
        load.more().await;
    }
    world.flip(table(1, vec![shop(&[1])]), table(2, vec![shop(&[2])])).await;
    // The third one never sent the instance anything, and speaks for the two before.
    for left in [2, 1] {
        world.until(|status| status.draining == [(InstanceId(1), left)].into()).await;
        old.let_go();
    }
    world.until(|status| status.draining.is_empty()).await;
    for open in open {
        assert_eq!(open.await.unwrap().text(), "old");
    }
    for before in before {
        before.ended().await;
    }
    load.finish().await;
}

#[tokio::test]
async fn an_old_one_that_hears_nothing_of_a_table_holds_its_epoch_back() {
    let (mut world, old, _new) = old_and_new().await;
    let open = old.asked(&world).await;
    let before = world.hand_over().await.unwrap();
    world.server.leave_out_first_watcher();
    world.route(table(2, vec![shop(&[2])]), Some(table(3, vec![shop(&[2])])));
    // The new one serves the table and is ready for the next; the old one may still route by the one before.
    let status = world.until(|status| status.prepared == Some(Epoch(3))).await;
    assert_eq!((fetch(world.address, "/").await.text(), status.serving), ("new", Epoch(1)));
    old.let_go();
    open.await.unwrap();
    before.ended().await;
    world.until(|status| status.serving == Epoch(2)).await;
}

#[tokio::test]
async fn a_new_one_that_comes_to_nothing_leaves_the_old_one_serving() {
    let app = App::saying("app").await;
    let mut world = World::serving(&[app.address]).await;
    let load = Load::at(world.address, 4);
    // It dies before it is ready, and once more; two at once do not get in each other's way.
    for _ in 0..2 {
        let dies = world.build().await.unwrap();
        let Err(BuildError::Taken { reason, .. }) = world.build().await else { panic!("two take over") };
        assert_eq!(reason, "another process is just taking over");
        drop(dies);
        load.more().await;
        let process = tandem_balancer::Process::find(&world.folder.path().join("balancer")).unwrap();
        assert_eq!(process.unwrap().http[0], world.address);
    }
    world.serve(2, vec![shop(&[1])]).await;
    let before = world.hand_over().await.unwrap();
    load.more().await;
    before.ended().await;
    load.finish().await;
}

#[tokio::test]
async fn without_a_server_the_new_one_serves_what_the_old_one_served() {
    let app = App::saying("app").await;
    let mut world = World::serving(&[app.address]).await;
    world.server.go_away();
    // Written beside the serving, and maybe a moment after it.
    let state = world.folder.path().join("balancer/state.json");
    eventually(|| state.exists()).await;
    std::fs::remove_file(&state).unwrap();
    let before = world.hand_over().await.unwrap();
    assert_eq!(fetch(world.address, "/").await.text(), "app");
    before.ended().await;
    world.server.come_back().await;
    world.serve(2, vec![shop(&[1])]).await;
}

#[tokio::test]
async fn one_that_ends_in_the_middle_is_followed_all_the_same() {
    let app = App::saying("app").await;
    let mut world = World::serving(&[app.address]).await;
    let new = world.build().await.unwrap();
    world.stop().await;
    world.run(new).await;
    assert_eq!(fetch(world.address, "/").await.text(), "app");
    world.serve(2, vec![shop(&[1])]).await;
}

#[tokio::test]
async fn one_that_is_asked_to_end_in_the_middle_counts_until_its_requests_have_ended() {
    let (mut world, old, _new) = old_and_new().await;
    let open = old.asked(&world).await;
    // It has given its sockets away and waits for the new one to get ready.
    let next = world.build().await.unwrap();
    world.drain();
    let before = world.run(next).await.unwrap();
    assert!(!before.is_ended());
    world.route(table(2, vec![shop(&[2])]), Some(table(3, vec![shop(&[2])])));
    let status = world.until(|status| status.prepared == Some(Epoch(3))).await;
    // It follows no table any more, so what it may still route to must stay.
    assert_eq!((fetch(world.address, "/").await.text(), status.serving), ("new", Epoch(1)));
    old.let_go();
    assert_eq!(open.await.unwrap().text(), "old");
    before.ended().await;
    world.until(|status| status.serving == Epoch(2)).await;
}

#[tokio::test]
async fn the_end_of_the_new_one_hurries_the_old_one_and_waits_for_it() {
    let app = Slow::saying("done").await;
    let mut world = World::serving(&[app.address]).await;
    let mut idle = idle(world.address, "done").await;
    let open = app.asked(&world).await;
    let before = world.hand_over().await.unwrap();
    world.drain();
    assert_eq!(within(idle.read(&mut [0])).await.unwrap(), 0, "idle connections of the old one are closed");
    assert!(!world.has_ended() && !before.is_ended());
    app.let_go();
    assert_eq!(open.await.unwrap().text(), "done");
    world.stop().await;
    before.ended().await;
}

#[tokio::test]
async fn an_idle_connection_holds_the_old_one_only_so_long() {
    let app = App::saying("app").await;
    let mut world = World::serving(&[app.address]).await;
    world.stop().await;
    world.drain_limit = Duration::from_millis(300);
    world.start().await;
    let mut idle = idle(world.address, "app").await;
    world.hand_over().await.unwrap().ended().await;
    assert_eq!(within(idle.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn addresses_come_and_go_with_the_hand_over() {
    let app = App::saying("app").await;
    let mut world = World::serving(&[app.address]).await;
    let v6 = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, world.address.port()));
    assert_eq!(fetch(v6, "/").await.text(), "app");
    let waiting = TcpStream::connect(v6).await.unwrap();
    world.only_v4 = true;
    let before = world.hand_over().await.unwrap();
    assert_eq!(fetch(world.address, "/").await.text(), "app");
    let mut waiting = waiting;
    waiting.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
    assert!(read_until(&mut waiting, "app").await.contains("connection: close"));
    before.ended().await;
    within(async { while TcpStream::connect(v6).await.is_ok() {} }).await;
    world.only_v4 = false;
    let before = world.hand_over().await.unwrap();
    assert_eq!((fetch(world.address, "/").await.text(), fetch(v6, "/").await.text()), ("app", "app"));
    before.ended().await;
}

#[tokio::test]
async fn a_balancer_of_another_name_gets_nothing() {
    let app = App::saying("app").await;
    let world = World::serving(&[app.address]).await;
    let folder = world.folder.path().join("balancer");
    let server = tandem_kit::api::Server::Unix("/nowhere".into());
    let config = Config::new("other".parse().unwrap(), server, folder, vec![world.address]);
    let Err(BuildError::Taken { reason, .. }) = Balancer::build(config).await else { panic!("it is taken") };
    assert_eq!(reason, "it is edge, not other");
    assert_eq!(fetch(world.address, "/").await.text(), "app");
}
