//! TCP that is passed through.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Lone;
use crate::app::{App, nobody};
use crate::world::{eventually, within};

/// Repeats all that it is sent, with its name in front, and ends when its client has.
async fn echo(name: &'static str) -> App {
    App::raw(move |mut stream| async move {
        let _ = stream.write_all(name.as_bytes()).await;
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.write_all(b"!").await;
    })
    .await
}

fn route(address: SocketAddr, targets: &[SocketAddr]) -> String {
    let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
    format!("[[route]]\ntcp = \"{address}\"\ntargets = [{}]\n", targets.join(", "))
}

async fn hello(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = within(TcpStream::connect(address)).await.unwrap();
    let mut name = [0; 1];
    within(stream.read_exact(&mut name)).await.unwrap();
    (stream, String::from_utf8(name.to_vec()).unwrap())
}

#[tokio::test]
async fn bytes_go_both_ways_and_an_end_of_one_is_not_the_end_of_the_other() {
    let (app, door) = (echo("a").await, nobody());
    let lone = Lone::serving(&route(door, &[app.address])).await;
    let (mut stream, _) = hello(door).await;
    let sent: Vec<u8> = (0..2_000_000_u32).map(|number| number as u8).collect();
    let (mut from, mut to) = stream.split();
    let send = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut answer = Vec::new();
    let ((), read) = within(async { tokio::join!(send, from.read_to_end(&mut answer)) }).await;
    read.unwrap();
    assert_eq!(
        answer.split_last(),
        Some((&b'!', &sent[..])),
        "what is said after the client's end comes too"
    );
    lone.stop().await;
}

#[tokio::test]
async fn the_target_with_the_fewest_connections_is_taken_and_one_that_refuses_is_not() {
    let (a, b, door) = (echo("a").await, echo("b").await, nobody());
    let lone = Lone::serving(&route(door, &[a.address, nobody(), b.address])).await;
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(hello(door).await);
    }
    assert_eq!((a.connections(), b.connections()), (5, 5));
    // Those of one end; the next ones are its.
    open.retain(|(_, name)| name == "b");
    let before = a.connections();
    within(async { while hello(door).await.1 != "a" {} }).await;
    assert!(a.connections() > before);
    drop(open);
    lone.stop().await;
}

#[tokio::test]
async fn a_target_is_told_who_the_client_is() {
    for (version, length) in [("v1", None), ("v2", Some(28))] {
        let app = App::raw(move |mut stream| async move {
            match length {
                Some(length) => {
                    let mut told = vec![0; length];
                    let _ = stream.read_exact(&mut told).await;
                    let port = u16::from_be_bytes([told[24], told[25]]);
                    let _ = stream.write_all(format!("{port}").as_bytes()).await;
                }
                None => {
                    let mut told = Vec::new();
                    while !told.ends_with(b"\r\n") {
                        told.push(stream.read_u8().await.unwrap_or_default());
                    }
                    let line = String::from_utf8(told).unwrap_or_default();
                    let port = line.split(' ').nth(4).unwrap_or_default().to_owned();
                    let _ = stream.write_all(port.as_bytes()).await;
                }
            }
        })
        .await;
        let door = nobody();
        let text = route(door, &[app.address]) + &format!("proxy_protocol = \"{version}\"\n");
        let lone = Lone::serving(&text).await;
        let mut stream = within(TcpStream::connect(door)).await.unwrap();
        let mut said = String::new();
        within(stream.read_to_string(&mut said)).await.unwrap();
        assert_eq!(said, stream.local_addr().unwrap().port().to_string(), "{version}");
        drop(stream);
        lone.stop().await;
    }
}

#[tokio::test]
async fn a_target_is_told_who_the_client_of_a_trusted_proxy_is() {
    let app = echo("").await;
    let door = nobody();
    let routes = route(door, &[app.address]) + "proxy_protocol = \"v1\"\n";
    let header = "PROXY TCP6 2001:db8::7 2001:db8::1 5 5432\r\n";
    let lone = Lone::serving(&format!("[proxy_protocol]\nfrom = [\"127.0.0.0/8\"]\n{routes}")).await;
    for (sent, passed) in [(header, header), ("no header\r\n", "")] {
        let mut stream = within(TcpStream::connect(door)).await.unwrap();
        stream.write_all(format!("{sent}hello").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        let _ = within(stream.read_to_string(&mut said)).await;
        assert_eq!(said, if passed.is_empty() { String::new() } else { format!("{passed}hello!") });
    }
    // Nobody is trusted any more, from the next connection on.
    lone.change(&routes);
    within(async {
        loop {
            let mut stream = TcpStream::connect(door).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut said = String::new();
            let _ = stream.read_to_string(&mut said).await;
            if said.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 ") && said.ends_with("hello!") {
                break;
            }
        }
    })
    .await;
    lone.stop().await;
}

#[tokio::test]
async fn doors_open_and_close_with_the_file_and_what_passes_through_others_stays() {
    let (app, first, second) = (echo("a").await, nobody(), nobody());
    let lone = Lone::serving(&route(first, &[app.address])).await;
    let (mut stream, _) = hello(first).await;
    lone.change(&(route(first, &[app.address]) + &route(second, &[app.address])));
    within(async {
        while TcpStream::connect(second).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    lone.change(&route(first, &[app.address]));
    eventually(|| std::net::TcpStream::connect(second).is_err()).await;
    stream.write_all(b"x").await.unwrap();
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'x');
    // An address that somebody else has is a mistake like any other.
    lone.change(&(route(first, &[app.address]) + &route(app.address, &[app.address])));
    assert_eq!(hello(first).await.1, "a");
    drop(stream);
    lone.stop().await;
}
