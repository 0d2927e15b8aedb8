//! Certificates of a file of routes.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::version::TLS13;

use super::{Lone, http, route};
use crate::app::App;
use crate::tls::{ask, get, trusting};
use crate::world::within;
use tandem_balancer::{Alone, AloneConfig};

/// Writes a certificate for `shop.example` and its key into a folder; returns what a client trusts that trusts it.
fn write(folder: &std::path::Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
    let files = [("cert.pem", cert.pem()), ("key.pem", signing_key.serialize_pem())];
    for (name, text) in files {
        tandem_kit::files::write_atomic(&folder.join(name), text.as_bytes(), 0o600).unwrap();
    }
    cert.der().clone()
}

const CERTIFICATE: &str =
    "[[certificate]]\ndomains = [\"shop.example\"]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";

#[tokio::test]
async fn a_certificate_is_shown_and_the_next_one_as_soon_as_its_files_change() {
    let app = App::saying("over TLS").await;
    let folder = tempfile::tempdir().unwrap();
    let first = trusting(&[&write(folder.path())], &[&TLS13]);
    let lone = Lone::serving_in(folder, &(route("*", &[&http(app.address)]) + CERTIFICATE)).await;
    let told = ask(lone.secure, "shop.example", &first, get("/", "shop.example")).await.unwrap();
    assert!(String::from_utf8(told.answer).unwrap().ends_with("over TLS"));
    let second = trusting(&[&write(lone.folder.path())], &[&TLS13]);
    within(async {
        while ask(lone.secure, "shop.example", &second, get("/", "shop.example")).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    lone.stop().await;
}

#[tokio::test]
async fn whoever_comes_by_http_is_sent_to_https_and_told_to_stay_there() {
    let app = App::saying("over TLS").await;
    let folder = tempfile::tempdir().unwrap();
    let trusts = trusting(&[&write(folder.path())], &[&TLS13]);
    let https = "https = { redirect = true, hsts = \"1d\" }\n";
    let routes =
        route("shop.example", &[&http(app.address)]) + https + &route("plain.example", &[&http(app.address)]);
    let lone = Lone::serving_in(folder, &(routes + CERTIFICATE)).await;
    let sent = lone.get(&format!("shop.example:{}", lone.address.port()), "/a?b=c").await;
    let port = lone.secure.port();
    assert_eq!(
        (sent.status.as_u16(), sent.header("location")),
        (308, &*format!("https://shop.example:{port}/a?b=c"))
    );
    assert_eq!(lone.get("plain.example", "/").await.text(), "over TLS");
    let told = ask(lone.secure, "shop.example", &trusts, get("/", "shop.example")).await.unwrap();
    let told = String::from_utf8(told.answer).unwrap().to_ascii_lowercase();
    assert!(told.contains("strict-transport-security: max-age=86400\r\n"), "{told}");
    lone.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let routes = folder.path().join("routes.toml");
    let put = |name: &str, text: &str| {
        tandem_kit::files::write_atomic(&folder.path().join(name), text.as_bytes(), 0o600).unwrap();
    };
    let told = async || {
        let config = AloneConfig::new(routes.clone(), vec!["127.0.0.1:0".parse().unwrap()]);
        within(Alone::build(config)).await.unwrap_err().to_string()
    };
    put("routes.toml", CERTIFICATE);
    let missing = told().await;
    assert!(
        missing.contains("routes.toml:3:8: ") && missing.contains("cert.pem cannot be read"),
        "{missing}"
    );
    write(folder.path());
    put("cert.pem", "no certificate");
    let nonsense = told().await;
    assert!(nonsense.contains(":3:8: ") && nonsense.contains("there is no certificate in it"), "{nonsense}");
    write(folder.path());
    put("key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let locked = told().await;
    assert!(locked.contains("it has a password") && locked.contains("openssl pkey"), "{locked}");
    write(folder.path());
    let key = std::fs::read_to_string(folder.path().join("key.pem")).unwrap();
    write(folder.path());
    put("key.pem", &key);
    let strange = told().await;
    assert!(strange.contains(":4:7: ") && strange.contains("the key does not fit"), "{strange}");
}
