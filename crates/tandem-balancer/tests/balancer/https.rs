//! What a balancer does for managed apps besides: certificates of the server's, redirects, answers to authorities.

use std::collections::BTreeMap;

use tandem_certificates::Authority;
use tandem_types::https::{Challenges, HttpsSpec, ServedCertificate};
use tandem_types::keys;
use tandem_types::routing::Route;
use tandem_types::{Span, Timestamp};

use super::app::App;
use super::client::raw;
use super::tls::{ask, trusting};
use super::world::{World, eventually, shop, within};

const ASK: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

fn issued(authority: &Authority) -> Vec<ServedCertificate> {
    let issued = authority.issue("shop.example", now()).unwrap();
    vec![ServedCertificate { domain: "shop.example".to_owned(), chain: issued.chain, key: issued.key }]
}

fn now() -> Timestamp {
    tandem_kit::clock::Clock::system().now()
}

fn root(authority: &Authority) -> rustls::pki_types::CertificateDer<'static> {
    rustls::pki_types::pem::PemObject::from_pem_slice(authority.certificate().as_bytes()).unwrap()
}

async fn is_shown(world: &World, authority: &Authority) -> bool {
    let config = trusting(&[&root(authority)], rustls::ALL_VERSIONS);
    let told = ask(world.secure.unwrap(), "shop.example", &config, ASK.into()).await;
    told.is_ok_and(|told| told.answer.starts_with(b"HTTP/1.1 200 "))
}

async fn until_shown(world: &World, authority: &Authority) {
    within(async {
        while !is_shown(world, authority).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn certificates_follow_the_server_and_are_shown_on_when_it_is_gone() {
    let app = App::saying("hello").await;
    let (first, second) =
        (Authority::create("first", now()).unwrap(), Authority::create("second", now()).unwrap());
    let mut world = World::secure(&[app.address], &[]).await;
    world.server.certify(issued(&first));
    until_shown(&world, &first).await;
    world.server.certify(issued(&second));
    until_shown(&world, &second).await;
    let kept = world.folder.path().join("balancer/certificates.json");
    eventually(|| std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("PRIVATE KEY"))).await;
    // Another life of it, with other certificates in memory: none.
    world.server.go_away();
    world.stop().await;
    world.certificates = tandem_certificates::Certificates::default();
    world.start().await;
    assert!(is_shown(&world, &second).await, "what was kept is shown from the first connection on");
}

fn wishing(https: HttpsSpec) -> Route {
    Route { https: Some(https), ..shop(&[1]) }
}

#[tokio::test]
async fn who_comes_over_http_is_sent_on_and_told_to_come_by_https_alone() {
    let app = App::saying("hello").await;
    let authority = Authority::create("test", now()).unwrap();
    let world = World::secure(&[app.address], &[]).await;
    world.server.certify(issued(&authority));
    world.serve(2, vec![wishing(HttpsSpec { redirect: true, hsts: Some(Span::seconds(60)) })]).await;
    until_shown(&world, &authority).await;
    let sent = raw(world.address, ASK).await;
    assert!(
        sent.starts_with("HTTP/1.1 308 ") && sent.contains("\r\nlocation: https://shop.example"),
        "{sent}"
    );
    assert!(
        !sent.contains("strict-transport-security"),
        "over HTTP it means nothing (RFC 6797, 7.2): {sent}"
    );
    let path = "/.well-known/acme-challenge/of-the-app";
    let passed = raw(world.address, &ASK.replacen('/', path, 1)).await;
    assert!(passed.starts_with("HTTP/1.1 200 "), "what the app answers by itself is its own: {passed}");
    let config = trusting(&[&root(&authority)], rustls::ALL_VERSIONS);
    let told = ask(world.secure.unwrap(), "shop.example", &config, ASK.into()).await.unwrap();
    let text = String::from_utf8(told.answer).unwrap();
    assert!(text.contains("\r\nstrict-transport-security: max-age=60\r\n"), "{text}");
}

#[tokio::test]
async fn without_https_nobody_is_sent_there() {
    let app = App::saying("hello").await;
    let world = World::serving(&[app.address]).await;
    world.serve(2, vec![wishing(HttpsSpec { redirect: true, hsts: None })]).await;
    assert!(raw(world.address, ASK).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn authorities_are_answered_before_any_route_and_the_server_is_told_up_to_which_number() {
    let world = World::empty().await;
    let http = BTreeMap::from([("token".to_owned(), "token.thumbprint".to_owned())]);
    let challenges = Challenges { number: 7, http, tls_alpn: BTreeMap::new() };
    world.server.put(keys::CHALLENGES, &challenges);
    world.until(|status| status.challenges == 7).await;
    let asked = ASK.replacen('/', "/.well-known/acme-challenge/token", 1);
    let told = raw(world.address, &asked).await;
    assert!(told.starts_with("HTTP/1.1 200 ") && told.ends_with("\r\n\r\ntoken.thumbprint"), "{told}");
    world.server.put(keys::CHALLENGES, &Challenges { number: 8, ..Challenges::default() });
    world.until(|status| status.challenges == 8).await;
    assert!(!raw(world.address, &asked).await.starts_with("HTTP/1.1 200 "));
}
