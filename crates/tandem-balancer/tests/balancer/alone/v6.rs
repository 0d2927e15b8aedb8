//! IPv6 from end to end: where it listens, whom it asks, what is said of the client.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Lone, http, route};
use crate::app::App;
use crate::client::{raw, read_until};
use crate::world::within;

/// An app on `::1` that answers with the head of what it was asked.
async fn echo() -> App {
    App::raw_on("[::1]:0".parse().unwrap(), |mut stream| async move {
        let head = read_until(&mut stream, "\r\n\r\n").await;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

async fn asked(at: SocketAddr, host: &str) -> String {
    raw(at, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn a_request_goes_over_ipv6_from_the_client_to_the_app() {
    let app = echo().await;
    assert!(app.address.is_ipv6() && http(app.address).starts_with("http://[::1]:"));
    let text = route("[::1]", &[&http(app.address)]) + "health = \"/\"\n";
    let lone = Lone::serving_at((tempfile::tempdir().unwrap(), &text), "[::1]:0").await;
    for host in ["[::1]".to_owned(), format!("[::1]:{}", lone.address.port())] {
        let said = asked(lone.address, &host).await;
        for line in
            [format!("host: {host}"), format!("x-forwarded-host: {host}"), "x-forwarded-for: ::1".to_owned()]
        {
            assert!(said.contains(&format!("\r\n{line}\r\n")), "{line}: {said}");
        }
    }
    assert!(asked(lone.address, "[::2]").await.starts_with("HTTP/1.1 404 "));
    lone.stop().await;
}

#[tokio::test]
async fn all_addresses_are_those_of_ipv4_too_and_its_clients_keep_theirs() {
    let app = echo().await;
    let text = "[proxy_protocol]\nfrom = [\"127.0.0.2\"]\n".to_owned() + &route("*", &[&http(app.address)]);
    let lone = Lone::serving_at((tempfile::tempdir().unwrap(), &text), "[::]:0").await;
    let port = lone.address.port();
    let v4 = asked((Ipv4Addr::LOCALHOST, port).into(), "a").await;
    assert!(v4.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{v4}");
    let v6 = asked((Ipv6Addr::LOCALHOST, port).into(), "a").await;
    assert!(v6.contains("\r\nx-forwarded-for: ::1\r\n"), "{v6}");
    // One of IPv4 is trusted by its own address.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.unwrap();
    let header = "PROXY TCP6 2001:db8::7 ::1 5 80\r\n";
    stream.write_all(format!("{header}GET / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = String::new();
    within(stream.read_to_string(&mut said)).await.unwrap();
    assert!(said.contains("\r\nx-forwarded-for: 2001:db8::7\r\n"), "{said}");
    lone.stop().await;
}

#[tokio::test]
async fn tcp_is_passed_through_over_ipv6_with_who_asks() {
    let app = App::raw_on("[::1]:0".parse().unwrap(), |mut stream| async move {
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await;
    let door: SocketAddr = std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
    let text = format!(
        "[[route]]\ntcp = \"{door}\"\ntargets = [\"tcp://[::1]:{}\"]\nproxy_protocol = \"v1\"\n",
        app.address.port()
    );
    let lone = Lone::serving(&text).await;
    let mut stream = within(TcpStream::connect(door)).await.unwrap();
    let own = stream.local_addr().unwrap().port();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = String::new();
    within(stream.read_to_string(&mut said)).await.unwrap();
    assert_eq!(said, format!("PROXY TCP6 ::1 ::1 {own} {}\r\nhello", door.port()));
    lone.stop().await;
}
