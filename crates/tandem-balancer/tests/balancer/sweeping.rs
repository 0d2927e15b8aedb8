//! Static files leave the disk when no table names them any more, and no earlier.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::BodyExt as _;
use tandem_kit::clock::Clock;
use tandem_types::routing::Table;
use tandem_types::{Digest, Epoch};

use super::app::App;
use super::blobs::Blobs;
use super::client::{Client, fetch, get};
use super::world::{World, eventually, shop, table, with_static, within};
use tandem_static::Library;

/// More than sockets and their buffers take.
const BIG: usize = 32 << 20;

/// A balancer whose clock is so far ahead that every file on its disk is an old one.
async fn aged(blobs: &Blobs, app: &App) -> World {
    let mut world = World::with_blobs(Some(blobs.store.clone())).await;
    world.stop().await;
    world.clock = Clock::manual(Clock::system().now() + Duration::from_secs(7200)).0;
    world.start().await;
    world.place(&[(1, app.address)]);
    world
}

fn naming(epoch: u64, trees: &[Digest]) -> Table {
    table(epoch, vec![with_static(shop(&[1]), trees)])
}

/// Where the balancer keeps a file with this content.
fn on_disk(world: &World, content: &[u8]) -> PathBuf {
    let name = Blobs::new().store.put(content).unwrap().to_string();
    world.folder.path().join("balancer/static").join(&name[..2]).join(&name[2..])
}

#[tokio::test]
async fn files_of_a_build_that_the_table_no_longer_names_are_removed_while_it_runs() {
    let (blobs, app) = (Blobs::new(), App::saying("the app").await);
    let world = aged(&blobs, &app).await;
    let [one, two, three] = [b"one", b"two", b"tri"].map(|content| blobs.tree(&[("site.css", content)]));
    world.flip(table(0, Vec::new()), naming(1, &[one])).await;
    // The release before still has its visitors.
    world.flip(naming(1, &[one]), naming(2, &[two, one])).await;
    world.flip(naming(2, &[two, one]), naming(3, &[three, two])).await;
    eventually(|| !on_disk(&world, b"one").exists()).await;
    assert!(on_disk(&world, b"two").exists() && on_disk(&world, b"tri").exists());
    assert_eq!(fetch(world.address, "/static/site.css").await.text(), "tri");
}

#[tokio::test]
async fn files_of_a_table_in_preparation_are_kept_and_a_release_that_comes_back_is_fetched_anew() {
    let (blobs, app) = (Blobs::new(), App::saying("the app").await);
    let world = aged(&blobs, &app).await;
    let [one, two] = [b"one", b"two"].map(|content| blobs.tree(&[("site.css", content)]));
    world.flip(table(0, Vec::new()), naming(1, &[one])).await;
    world.flip(naming(1, &[one]), naming(2, &[two])).await;
    eventually(|| !on_disk(&world, b"one").exists()).await;
    // Prepared when the table that is served changes beside it: its files are not there for nothing.
    world.route(naming(2, &[two]), Some(naming(4, &[one])));
    world.until(|status| status.prepared == Some(Epoch(4))).await;
    world.route(table(3, vec![shop(&[1])]), Some(naming(4, &[one])));
    eventually(|| !on_disk(&world, b"two").exists()).await;
    assert!(on_disk(&world, b"one").exists());
    world.route(naming(4, &[one]), None);
    world.until(|status| status.serving == Epoch(4)).await;
    assert_eq!(fetch(world.address, "/static/site.css").await.text(), "one");
}

#[tokio::test]
async fn a_download_goes_on_to_its_end_when_its_file_is_swept() {
    let (blobs, app) = (Blobs::new(), App::saying("the app").await);
    let world = aged(&blobs, &app).await;
    let big: Vec<u8> = (0..BIG).map(|place| (place % 251) as u8).collect();
    let (old, new) = (blobs.tree(&[("big.bin", &big)]), blobs.tree(&[("site.css", b"new")]));
    world.flip(table(0, Vec::new()), naming(1, &[old])).await;
    let mut client = Client::connect(world.address).await;
    let answer = client.send(get("/static/big.bin")).await.unwrap();
    world.flip(naming(1, &[old]), naming(2, &[new])).await;
    eventually(|| !on_disk(&world, &big).exists()).await;
    assert!(within(answer.into_body().collect()).await.unwrap().to_bytes() == big);
}

#[tokio::test]
async fn nothing_is_removed_while_nobody_knows_what_is_named() {
    let (blobs, app) = (Blobs::new(), App::saying("the app").await);
    let mut world = aged(&blobs, &app).await;
    let one = blobs.tree(&[("site.css", b"one")]);
    world.flip(table(0, Vec::new()), naming(1, &[one])).await;
    world.server.go_away();
    world.stop().await;
    std::fs::remove_file(world.folder.path().join("balancer/state.json")).unwrap();
    world.start().await;
    assert_eq!(fetch(world.address, "/").await.status, 503);
    assert!(on_disk(&world, b"one").exists());
    world.server.come_back().await;
    world.until(|status| status.serving == Epoch(1)).await;
    within(async { while fetch(world.address, "/static/site.css").await.text() != "one" {} }).await;
}

#[tokio::test]
async fn files_are_kept_while_a_request_of_an_earlier_table_may_open_them() {
    let blobs = Blobs::new();
    let tree = blobs.tree(&[("site.css", b"one")]);
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Clock::system().now() + Duration::from_secs(7200)).0;
    let mut library = Library::open(folder.path(), clock).unwrap();
    library.shelf().cache().fill_from(&blobs.store, &tree).unwrap();
    let file = library.shelf().cache().path(&blobs.store.put(b"one").unwrap(), false);
    let request = library.unloaded(&naming(1, &[tree])).remove(0);
    request.load().await.unwrap();
    library.forget(std::iter::empty());
    assert!(library.sweep().await);
    assert!(file.exists());
    drop(request);
    assert!(library.sweep().await);
    assert!(!file.exists());
}
