//! HTTPS: which certificate is shown to whom, and that everything passes whole.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned};
use tandem_kit::tasks;

use super::app::App;
use super::client::{raw, read_until};
use super::requests::echo;
use super::world::{World, within};
use tandem_balancer::WaitLimits;
use tandem_certificates::Certificate;

/// A certificate for these names, and what a client trusts that trusts it.
pub(super) fn certificate(domains: &[&str]) -> (Certificate, CertificateDer<'static>) {
    let domains: Vec<_> = domains.iter().map(|domain| (*domain).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(domains.clone()).unwrap();
    let read = Certificate::read(domains, cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes());
    (read.unwrap(), cert.der().clone())
}

pub(super) fn trusting(
    all: &[&CertificateDer<'static>],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for one in all {
        roots.add((*one).clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// What a client gets that asks for a name.
pub(super) struct Told {
    pub(super) answer: Vec<u8>,
    version: ProtocolVersion,
    kind: HandshakeKind,
    shown: CertificateDer<'static>,
}

/// Sends bytes as a client that asks for `name`, and reads until the balancer closes.
pub(super) async fn ask(
    at: SocketAddr,
    name: &'static str,
    config: &Arc<ClientConfig>,
    bytes: Vec<u8>,
) -> std::io::Result<Told> {
    let config = Arc::clone(config);
    within(tasks::blocking("client", move || {
        let session = ClientConnection::new(config, name.try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(session, TcpStream::connect(at)?);
        stream.write_all(&bytes)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(Told {
            answer,
            version: stream.conn.protocol_version().unwrap(),
            kind: stream.conn.handshake_kind().unwrap(),
            shown: stream.conn.peer_certificates().unwrap()[0].clone().into_owned(),
        })
    }))
    .await
}

pub(super) fn get(path: &str, host: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn the_certificate_of_the_name_is_shown_and_the_app_hears_of_https() {
    let ((own, own_root), (wild, wild_root)) =
        (certificate(&["shop.example"]), certificate(&["*.shop.example"]));
    let app = echo().await;
    let world = World::secure(&[app.address], &[own, wild]).await;
    let at = world.secure.unwrap();
    let config = trusting(&[&own_root, &wild_root], rustls::ALL_VERSIONS);
    let told = ask(at, "shop.example", &config, get("/", "shop.example")).await.unwrap();
    let text = String::from_utf8(told.answer).unwrap();
    assert!(text.contains("\nx-forwarded-proto: https\n"), "{text}");
    assert_eq!((told.version, told.shown), (ProtocolVersion::TLSv1_3, own_root.clone()));
    let told = ask(at, "SHOP.example", &config, get("/", "shop.example")).await.unwrap();
    assert_eq!(told.shown, own_root);
    let told = ask(at, "www.shop.example", &config, get("/", "shop.example")).await.unwrap();
    assert_eq!(told.shown, wild_root);
    // Nobody has one for these: the client is shown another, and refuses it.
    for name in ["a.b.shop.example", "other.example"] {
        assert!(ask(at, name, &config, get("/", "shop.example")).await.is_err(), "{name}");
    }
    // In the clear it says so, too.
    let text = raw(world.address, std::str::from_utf8(&get("/", "shop.example")).unwrap()).await;
    assert!(text.contains("\nx-forwarded-proto: http\n"), "{text}");
}

#[tokio::test]
async fn sessions_are_resumed_in_both_versions_and_new_certificates_shown_from_the_next_connection_on() {
    let app = App::saying("hello").await;
    let (first, first_root) = certificate(&["shop.example"]);
    let world = World::secure(&[app.address], &[first]).await;
    let at = world.secure.unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = trusting(&[&first_root], &[version]);
        let kinds = [
            ask(at, "shop.example", &config, get("/", "shop.example")).await.unwrap().kind,
            ask(at, "shop.example", &config, get("/", "shop.example")).await.unwrap().kind,
        ];
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed], "{version:?}");
    }
    let (second, second_root) = certificate(&["shop.example"]);
    world.certificates.set(&[second]);
    let config = trusting(&[&second_root], rustls::ALL_VERSIONS);
    let told = ask(at, "shop.example", &config, get("/", "shop.example")).await.unwrap();
    assert_eq!(told.shown, second_root);
}

#[tokio::test]
async fn who_offers_a_version_of_http_that_is_spoken_is_served() {
    let app = App::saying("hello").await;
    let (own, root) = certificate(&["shop.example"]);
    let world = World::secure(&[app.address], &[own]).await;
    for (offered, is_served) in
        [(&["http/1.0"][..], true), (&["http/1.1", "http/1.0"], true), (&[], true), (&["ftp"], false)]
    {
        let mut config = ClientConfig::clone(&trusting(&[&root], rustls::ALL_VERSIONS));
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let asked = get("/", "shop.example");
        let told = ask(world.secure.unwrap(), "shop.example", &Arc::new(config), asked).await;
        assert_eq!(told.is_ok_and(|told| told.answer.ends_with(b"hello")), is_served, "{offered:?}");
    }
}

#[tokio::test]
async fn a_big_upload_comes_back_whole() {
    let app = echo().await;
    let (own, root) = certificate(&["shop.example"]);
    let world = World::secure(&[app.address], &[own]).await;
    let body: String = (0..200_000).map(|number| format!("{number} ")).collect();
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let config = trusting(&[&root], rustls::ALL_VERSIONS);
    let told = ask(world.secure.unwrap(), "shop.example", &config, request.into_bytes()).await.unwrap();
    assert!(told.answer.ends_with(format!("\n\n{body}").as_bytes()), "{} bytes", told.answer.len());
}

#[tokio::test]
async fn who_speaks_the_other_language_is_told_and_closed() {
    let app = App::saying("hello").await;
    let (own, root) = certificate(&["shop.example"]);
    let world = World::secure(&[app.address], &[own]).await;
    let config = trusting(&[&root], rustls::ALL_VERSIONS);
    assert!(ask(world.address, "shop.example", &config, get("/", "shop.example")).await.is_err());
    let mut stream = tokio::net::TcpStream::connect(world.secure.unwrap()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &get("/", "shop.example")).await.unwrap();
    // A fatal alert of TLS: it is no HTTP at all.
    let mut alert = Vec::new();
    within(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut alert)).await.unwrap();
    assert_eq!(alert.first(), Some(&21), "{alert:?}");
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &[22, 3, 1, 2, 0]).await.unwrap();
    assert!(read_until(&mut stream, "\r\n").await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_in_time() {
    const ANSWERS: usize = 600;
    let app = App::start(|_| async { http::Response::new(tandem_kit::http::full(vec![b'x'; 30_000])) }).await;
    let (own, root) = certificate(&["shop.example"]);
    let mut world = World::secure(&[app.address], &[own]).await;
    world.stop().await;
    world.limits = WaitLimits { client: 2, ..WaitLimits::default() };
    world.start().await;
    let (at, config) = (world.secure.unwrap(), trusting(&[&root], rustls::ALL_VERSIONS));
    let read = within(tasks::blocking("client", move || {
        let session = ClientConnection::new(config, "shop.example".try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(session, TcpStream::connect(at).unwrap());
        let asked = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n".repeat(ANSWERS);
        stream.write_all(asked.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(3));
        let mut all = Vec::new();
        let ended = stream.read_to_end(&mut all);
        (ended.is_err(), all.len())
    }));
    let (is_cut, count) = read.await;
    assert!(is_cut && count < ANSWERS * 30_000, "{count} bytes came");
    world.stop().await;
}
