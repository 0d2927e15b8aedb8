//! Connections of proxies that say who their client is.

use std::net::{IpAddr, SocketAddr};

use tandem_wire::{ProxyEnds, ProxyVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::App;
use super::client::{raw, read_until};
use super::requests::echo;
use super::tls::{self, trusting};
use super::world::{World, within};
use tandem_balancer::WaitLimits;

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
const HEADER: &str = "PROXY TCP4 192.0.2.7 192.0.2.1 5 443\r\n";

/// A balancer that trusts these networks.
async fn trusting_world(app: &App, from: &[&str], limits: WaitLimits) -> World {
    let mut world = World::serving(&[app.address]).await;
    world.stop().await;
    world.proxy_from = from.iter().map(|network| network.parse().unwrap()).collect();
    world.limits = limits;
    world.start().await;
    world
}

#[tokio::test]
async fn the_app_hears_of_the_client_that_a_trusted_proxy_names() {
    let app = echo().await;
    let world = trusting_world(&app, &["127.0.0.0/8", "::1"], WaitLimits::default()).await;
    let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9], 5));
    for (client, expected) in [("192.0.2.7:5".parse().unwrap(), "192.0.2.7"), (v6, "2001:db8::9")] {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let mut stream = TcpStream::connect(world.address).await.unwrap();
            let header = version.header(ProxyEnds { client, to: world.address });
            stream.write_all(&[&header, GET.as_bytes()].concat()).await.unwrap();
            let mut said = String::new();
            within(stream.read_to_string(&mut said)).await.unwrap();
            assert!(said.contains(&format!("\nx-forwarded-for: {expected}\n")), "{version:?}: {said}");
        }
    }
    // Over IPv6 as well, byte by byte, and with one request behind the other.
    let mut stream = TcpStream::connect(("::1", world.address.port())).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in format!("{HEADER}{}{GET}", GET.replace("Connection: close\r\n", "")).bytes() {
        stream.write_all(&[byte]).await.unwrap();
    }
    let mut said = String::new();
    within(stream.read_to_string(&mut said)).await.unwrap();
    assert_eq!(said.matches("\nx-forwarded-for: 192.0.2.7\n").count(), 2, "{said}");
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_keeps_its_own_address() {
    let app = echo().await;
    let world = trusting_world(&app, &["127.0.0.1"], WaitLimits::default()).await;
    for header in ["PROXY UNKNOWN\r\n", "\r\n\r\n\0\r\nQUIT\n\u{20}\0\0\0"] {
        let said = raw(world.address, &format!("{header}{GET}")).await;
        assert!(said.contains("\nx-forwarded-for: 127.0.0.1\n"), "{said}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_that_says_nothing_of_its_client_is_sent_away() {
    let app = echo().await;
    let world = trusting_world(&app, &["127.0.0.1"], WaitLimits::default()).await;
    for sent in [GET, "PROXY TCP4 192.0.2.7 192.0.2.1 5\r\n", "PROXY TCP4 192.0.2.300 192.0.2.1 5 443\r\n"] {
        let said = raw(world.address, &format!("{sent}{GET}")).await;
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("PROXY header"), "{said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
    }
    // Said twice it is a request, and none that anybody knows.
    let said = raw(world.address, &format!("{HEADER}{HEADER}{GET}")).await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
}

#[tokio::test]
async fn a_header_of_somebody_else_is_no_http() {
    let app = echo().await;
    let world = trusting_world(&app, &["10.0.0.0/8", "::1"], WaitLimits::default()).await;
    for header in [HEADER, "\r\n\r\n\0\r\nQUIT\n\u{20}\0\0\0"] {
        let said = raw(world.address, &format!("{header}{GET}")).await;
        assert!(said.starts_with("HTTP/1.1 400 ") && !said.contains("x-forwarded-for"), "{said}");
    }
    let said = raw(world.address, GET).await;
    assert!(said.contains("\nx-forwarded-for: 127.0.0.1\n"), "it needs no header: {said}");
}

#[tokio::test]
async fn a_header_that_does_not_come_whole_in_time_ends_the_connection() {
    let app = echo().await;
    let limits = WaitLimits { head: 2, ..WaitLimits::default() };
    let world = trusting_world(&app, &["127.0.0.1"], limits).await;
    for sent in ["", "PROXY TCP4 192.0.2.7", "\r\n\r\n\0\r\nQUIT\n\u{21}\u{11}\u{3}\0"] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let _ = within(stream.read_to_end(&mut said)).await;
        assert!(said.is_empty(), "{sent:?}");
    }
    // One that says who it is has the rest of that time, and others are not in its way.
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(format!("{HEADER}{GET}").as_bytes()).await.unwrap();
    assert!(read_until(&mut stream, "\r\n").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn the_record_of_a_request_names_the_client_and_not_the_proxy() {
    let app = App::saying("hello").await;
    let world = trusting_world(&app, &["127.0.0.1"], WaitLimits::default()).await;
    raw(world.address, &format!("{HEADER}{GET}")).await;
    raw(world.address, &format!("{HEADER}nonsense\r\n\r\n")).await;
    let mut reports = world.server.traffic();
    let clients = |reports: &[tandem_types::traffic::TrafficReport]| -> Vec<_> {
        reports.iter().flat_map(|report| &report.latest).map(|record| record.client.clone()).collect()
    };
    let all = within(reports.wait_for(|reports| clients(reports).len() == 2)).await.unwrap().clone();
    let named: Vec<IpAddr> = clients(&all).iter().map(|client| client.parse().unwrap()).collect();
    assert_eq!(named, ["192.0.2.7".parse::<IpAddr>().unwrap(); 2]);
}

#[tokio::test]
async fn a_header_comes_ahead_of_tls() {
    use std::io::{Read as _, Write as _};
    let (own, root) = tls::certificate(&["shop.example"]);
    let app = echo().await;
    let mut world = World::secure(&[app.address], &[own]).await;
    world.stop().await;
    world.proxy_from = vec!["127.0.0.1".parse().unwrap()];
    world.start().await;
    let (at, config) = (world.secure.unwrap(), trusting(&[&root], rustls::ALL_VERSIONS));
    let said = tandem_kit::tasks::blocking("client", move || {
        let session = rustls::ClientConnection::new(config, "shop.example".try_into().unwrap()).unwrap();
        let mut socket = std::net::TcpStream::connect(at).unwrap();
        socket.write_all(HEADER.as_bytes()).unwrap();
        let mut stream = rustls::StreamOwned::new(session, socket);
        stream.write_all(GET.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    });
    let said = within(said).await;
    assert!(said.contains("\nx-forwarded-for: 192.0.2.7\n"), "{said}");
    assert!(said.contains("\nx-forwarded-proto: https\n"), "{said}");
    // Without one it is closed: what would be said could not be read.
    let config = trusting(&[&root], rustls::ALL_VERSIONS);
    assert!(tls::ask(at, "shop.example", &config, GET.into()).await.is_err());
}
