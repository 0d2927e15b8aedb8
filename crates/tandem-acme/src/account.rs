//! The account at an authority: made once, kept by others, opened again.

use instant_acme::{AccountCredentials, NewAccount};
use tandem_kit::clock::Clock;

use crate::config::Config;
use crate::trouble::Trouble;
use crate::wire::{LeftAlone, Wire};

/// An account, ready to order.
pub struct Account {
    pub(crate) account: instant_acme::Account,
    pub(crate) left_alone: LeftAlone,
    pub(crate) config: Config,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.account.id())
    }
}

/// Opens the account of these credentials, or makes one and returns its credentials, a secret to be kept.
///
/// # Errors
/// The authority is not reached or refuses.
pub async fn open(
    config: &Config,
    credentials: Option<&str>,
    clock: &Clock,
) -> Result<(Account, Option<String>), Trouble> {
    let wire = Wire::new(config.roots.as_deref(), clock)?;
    let left_alone = wire.left_alone();
    let told = |error: instant_acme::Error| Trouble {
        retry_after: left_alone.get(),
        ..Trouble::said("reach the authority", &error)
    };
    let builder = instant_acme::Account::builder_with_http(Box::new(wire));
    let (account, made) = match credentials {
        Some(text) => {
            let credentials: AccountCredentials = serde_json::from_str(text)
                .map_err(|_| Trouble::new("the account that was kept is not understood"))?;
            (builder.from_credentials(credentials).await.map_err(told)?, None)
        }
        None => {
            let contact = config.email.as_ref().map(|email| format!("mailto:{email}"));
            let contact: Vec<_> = contact.iter().map(String::as_str).collect();
            let new =
                NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
            let (account, credentials) =
                builder.create(&new, config.directory.clone(), None).await.map_err(told)?;
            let text = serde_json::to_string(&credentials)
                .map_err(|error| Trouble::of("keep the account", &error))?;
            (account, Some(text))
        }
    };
    Ok((Account { account, left_alone, config: config.clone() }, made))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;
    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tandem_kit::tasks::{self, Owned};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::Way;

    /// An authority that has had enough: who asks for an account is told to come back in two hours.
    async fn tired(folder: &std::path::Path, clock: &Clock) -> (Config, Owned<()>) {
        let authority = tandem_certificates::Authority::create("test", clock.now()).unwrap();
        let roots = folder.join("roots.pem");
        tandem_kit::files::write_atomic(&roots, authority.certificate().as_bytes(), 0o644).unwrap();
        let issued = authority.issue("localhost", clock.now()).unwrap();
        let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls =
            TlsAcceptor::from(Arc::new(tls.with_no_client_auth().with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let serving = tasks::owned("tired", answer_all(listener, tls, base.clone()));
        let (email, roots) = (None, Some(roots));
        let directory = format!("{base}/directory");
        (Config { directory, email, roots, way: Way::Http01, dns_hook: None }, serving)
    }

    async fn answer_all(listener: TcpListener, tls: TlsAcceptor, base: String) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tls.accept(stream).await.unwrap();
            let mut asked = vec![0; 16 * 1024];
            let count = stream.read(&mut asked).await.unwrap();
            let asked = String::from_utf8_lossy(&asked[..count]).into_owned();
            let (status, fields, body) = match asked.split(' ').nth(1).unwrap() {
                "/directory" => {
                    let urls = ["newNonce", "newAccount", "newOrder"]
                        .map(|name| format!("\"{name}\":\"{base}/{name}\""));
                    ("200 OK", "", format!("{{{}}}", urls.join(",")))
                }
                "/newNonce" => ("200 OK", "", String::new()),
                _ => {
                    let problem =
                        r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many accounts"}"#;
                    ("429 Too Many Requests", "Retry-After: 7200\r\n", problem.to_owned())
                }
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nReplay-Nonce: abc\r\n{fields}Content-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    }

    #[tokio::test]
    async fn an_authority_that_has_had_enough_is_left_alone_for_as_long_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let (config, _serving) = tired(folder.path(), &clock).await;
        let trouble = open(&config, None, &clock).await.unwrap_err();
        assert_eq!(trouble.message, "the authority says: too many accounts (rateLimited)");
        assert_eq!(trouble.retry_after, Some(SignedDuration::from_hours(2)));
    }
}
