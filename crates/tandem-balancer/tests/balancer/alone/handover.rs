//! One process after the other with the same file: on the very same sockets, under load, with any number of threads.

use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tandem_kit::drain::{self, Trigger};
use tandem_kit::tasks::{self, Owned};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, oneshot};

use super::{http, route};
use crate::app::{App, nobody};
use crate::client::fetch;
use crate::handover::Load;
use crate::world::within;
use tandem_balancer::RunError;
use tandem_balancer::{Alone, AloneConfig, AloneError};

struct Process {
    address: SocketAddr,
    secure: SocketAddr,
    drain: Trigger,
    run: Owned<Result<(), RunError>>,
}

fn config(folder: &Path, threads: usize) -> AloneConfig {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = AloneConfig::new(folder.join("routes.toml"), vec![any]);
    config.https = vec![any];
    config.threads = Some(threads);
    config.handover = Some(folder.join("handover"));
    config
}

async fn build(folder: &Path, threads: usize) -> Result<Alone, AloneError> {
    within(Alone::build(config(folder, threads))).await
}

async fn start(folder: &Path, threads: usize) -> Process {
    run(build(folder, threads).await.unwrap()).await
}

async fn run(alone: Alone) -> Process {
    let (address, secure) = (alone.addresses()[0], alone.secure_addresses()[0]);
    let (drain, drained) = drain::channel();
    let (serving, served) = oneshot::channel();
    let run = tasks::owned("alone", alone.run(drained, Some(serving), Arc::new(Notify::new())));
    within(served).await.unwrap();
    Process { address, secure, drain, run }
}

/// A folder with a route to an app and a door to another.
async fn place(app: &App, echo: &App, door: SocketAddr) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let door = format!("[[route]]\ntcp = \"{door}\"\ntargets = [\"{}\"]\n", echo.address);
    let text = route("shop.example", &[&http(app.address)]) + &door;
    tandem_kit::files::write_atomic(&folder.path().join("routes.toml"), text.as_bytes(), 0o644).unwrap();
    folder
}

async fn echo() -> App {
    App::raw(|mut stream| async move {
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await
}

async fn repeats(stream: &mut TcpStream) {
    stream.write_all(b"x").await.unwrap();
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'x');
}

#[tokio::test]
async fn under_load_nothing_is_lost_whatever_the_number_of_threads() {
    let (app, echo, door) = (App::saying("app").await, echo().await, nobody());
    let folder = place(&app, &echo, door).await;
    let mut process = start(folder.path(), 1).await;
    let (address, secure) = (process.address, process.secure);
    let load = Load::at(address, 8);
    for threads in [2, 1, 3, 1] {
        load.more().await;
        let next = start(folder.path(), threads).await;
        assert_eq!((next.address, next.secure), (address, secure));
        let before = std::mem::replace(&mut process, next);
        load.more().await;
        // What comes to the door now is the new one's: the old one ends with it open.
        let mut stream = TcpStream::connect(door).await.unwrap();
        repeats(&mut stream).await;
        within(before.run).await.unwrap();
        repeats(&mut stream).await;
    }
    let good = load.finish().await;
    assert!(good > 400, "only {good} requests were made");
    process.drain.fire();
    within(process.run).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err() && TcpStream::connect(door).await.is_err());
}

#[tokio::test]
async fn a_connection_through_a_door_goes_on_in_the_process_that_accepted_it() {
    let (app, echo, door) = (App::saying("app").await, echo().await, nobody());
    let folder = place(&app, &echo, door).await;
    let old = start(folder.path(), 2).await;
    let mut stream = TcpStream::connect(door).await.unwrap();
    repeats(&mut stream).await;
    let new = start(folder.path(), 2).await;
    repeats(&mut stream).await;
    assert!(!old.run.is_finished(), "it has a connection");
    drop(stream);
    within(old.run).await.unwrap();
    assert_eq!(fetch(new.address, "/").await.text(), "app");
}

#[tokio::test]
async fn one_that_does_not_come_to_serve_changes_nothing() {
    let (app, echo, door) = (App::saying("app").await, echo().await, nobody());
    let folder = place(&app, &echo, door).await;
    let old = start(folder.path(), 2).await;
    let entries = std::fs::read_dir(folder.path().join("handover")).unwrap().map(Result::unwrap);
    let mut sockets = entries.filter(|entry| entry.file_type().unwrap().is_socket());
    drop(UnixStream::connect(sockets.next().unwrap().path()).await.unwrap());
    assert_eq!(fetch(old.address, "/").await.text(), "app");
    // It was built and never ran.
    drop(build(folder.path(), 1).await.unwrap());
    assert_eq!(fetch(old.address, "/").await.text(), "app");
    let new = start(folder.path(), 1).await;
    within(old.run).await.unwrap();
    assert_eq!(fetch(new.address, "/").await.text(), "app");
    assert!(TcpStream::connect(door).await.is_ok());
}

#[tokio::test]
async fn figures_are_read_at_the_same_address_and_are_those_of_the_process_that_serves() {
    let (app, echo, [door, metrics]) = (App::saying("app").await, echo().await, [nobody(), nobody()]);
    let folder = place(&app, &echo, door).await;
    let next = async || {
        let config = AloneConfig { metrics: Some(metrics), ..config(folder.path(), 2) };
        run(within(Alone::build(config)).await.unwrap()).await
    };
    let counted = "{app=\"shop-example\",environment=\"production\",release=\"r0\",status_class=\"2xx\"} 1\n";
    let mut process = next().await;
    for _ in 0..2 {
        fetch(process.address, "/").await;
        within(async {
            while !fetch(metrics, "/metrics").await.text().contains(counted) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let before = std::mem::replace(&mut process, next().await);
        within(before.run).await.unwrap();
        within(async {
            while TcpStream::connect(metrics).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(!fetch(metrics, "/metrics").await.text().contains(counted), "it has seen nothing yet");
    }
}
