//! What people read when an instance does not pass its gate.

use tandem_kit::tasks;
use tandem_types::Span;
use tandem_types::assignment::Assignment;
use tandem_types::instance::{Address, InstanceState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::scene::Scene;
use crate::testing::web;

async fn starting(command: &str) -> (Scene, u16) {
    let mut scene = Scene::new().await;
    let files = [("app.py", include_str!("app.py"))];
    scene.server.put(&Assignment { instances: vec![web(1, command)], ..scene.assignment(&files) });
    scene.start();
    let line = scene.line(1, "a start", |line| line.state == InstanceState::Starting).await;
    match line.address {
        Some(Address::Tcp(address)) => (scene, address.port()),
        other => panic!("it has a port: {other:?}"),
    }
}

async fn detail(scene: &Scene, part: &str) -> String {
    let told = scene.line(1, part, |line| line.detail.as_deref().is_some_and(|text| text.contains(part)));
    let line = told.await;
    assert_eq!(line.state, InstanceState::Starting);
    line.detail.expect("it was just looked at")
}

#[tokio::test]
async fn an_app_that_does_not_listen_is_explained() {
    let (scene, port) = starting("exec sleep 1000").await;
    let text = detail(&scene, "refused").await;
    assert_eq!(text, format!("nothing listens on port {port} yet: connection refused"));
}

#[tokio::test]
async fn somebody_else_on_the_port_is_found_out() {
    let (scene, port) = starting("exec sleep 1000").await;
    let squatter = TcpListener::bind(("127.0.0.1", port)).await.expect("the app does not listen");
    let _answers = tasks::owned("squatter", async move {
        loop {
            let (mut stream, _) = squatter.accept().await.expect("somebody asks");
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let text = detail(&scene, "something else").await;
    assert_eq!(text, format!("something else listens on port {port}"));
}

#[tokio::test]
async fn an_app_that_ignores_its_port_is_found_where_it_listens() {
    let server = "exec python3 -c 'import socket, time; s = socket.create_server((\"127.0.0.1\", 0)); \
        print(s.getsockname()[1], flush=True); time.sleep(1000)'";
    let (scene, port) = starting(server).await;
    let text = detail(&scene, "$PORT").await;
    let told = text.strip_prefix("it listens on 127.0.0.1:").expect("it says where");
    let (elsewhere, rest) = told.split_once(", ").expect("and more");
    assert_eq!(rest, format!("$PORT is {port}"));
    assert_ne!(elsewhere.parse::<u16>().expect("a port"), port);
}

#[tokio::test]
async fn an_app_that_listens_where_nobody_asks_is_explained() {
    let (scene, port) = starting("exec python3 -m http.server $PORT --bind 127.0.0.2").await;
    let text = detail(&scene, "not on").await;
    assert_eq!(text, format!("it listens on 127.0.0.2:{port}, but not on 127.0.0.1:{port}"));
}

#[tokio::test]
async fn an_app_that_is_overdue_is_told_with_its_last_lines_and_may_still_pass() {
    let mut scene = Scene::new().await;
    scene.pace.budget = Span::millis(300);
    let command =
        "echo waiting for go; while [ ! -e /data/go ]; do sleep 0.01; done; exec python3 /app/app.py";
    let files = [("app.py", include_str!("app.py"))];
    scene.server.put(&Assignment { instances: vec![web(1, command)], ..scene.assignment(&files) });
    scene.start();
    let late = scene.line(1, "its last lines", |line| !line.log_tail.is_empty()).await;
    assert_eq!((late.state, late.log_tail), (InstanceState::Starting, vec!["waiting for go".to_owned()]));
    scene.touch("go");
    let ready = scene.state(1, InstanceState::Ready).await;
    assert_eq!((ready.restarts, ready.log_tail, ready.detail), (0, Vec::new(), None));
}
