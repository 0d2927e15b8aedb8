//! Which certificate a client is shown: by the name that it asks for (SNI, RFC 6066).

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::challenges::{Answers, VALIDATION};

/// Sessions of TLS 1.2 that are remembered; those of 1.3 are remembered by their clients.
const SESSIONS: usize = 4096;

/// What PEM says of a key with a password: `BEGIN ENCRYPTED PRIVATE KEY`, or `Proc-Type: 4,ENCRYPTED` (RFC 1421).
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// A certificate with its key, and the names for which it is shown.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Host names in lower case; `*.example.org` for one label below it.
    pub domains: Vec<String>,
    /// Both.
    key: Arc<CertifiedKey>,
}

/// Why a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is not PEM, or there is none in it.
    #[error("the certificate cannot be read: {0}")]
    Chain(String),
    /// The same of its key.
    #[error("the key cannot be read: {0}")]
    Key(String),
    /// They do not belong together, or the key is of a kind that is not understood.
    #[error("the key does not fit the certificate")]
    Pair(#[source] rustls::Error),
}

impl Certificate {
    /// Reads a chain (the certificate itself first) and its key.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn read(domains: Vec<String>, chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| CertificateError::Chain(error.to_string()))?;
        if chain.is_empty() {
            return Err(CertificateError::Chain("there is no certificate in it".to_owned()));
        }
        if key.windows(ENCRYPTED.len()).any(|word| word == ENCRYPTED) {
            let how = "it has a password, and nobody is there to type it: `openssl pkey -in KEY -out PLAIN` takes it off";
            return Err(CertificateError::Key(how.to_owned()));
        }
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| CertificateError::Key(error.to_string()))?;
        let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let domains = domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
        Ok(Self { domains, key: Arc::new(pair.map_err(CertificateError::Pair)?) })
    }

    /// Its chain, itself first.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }
}

/// All certificates, by name; cheap to clone, clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    names: Arc<ArcSwap<Names>>,
    answers: Answers,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// For clients that ask for no name, or for one that nobody has: it is up to them to refuse it.
    first: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Shows these from now on. Of two for the same name the first one counts.
    pub fn set(&self, certificates: &[Certificate]) {
        let mut names =
            Names { first: certificates.first().map(|first| Arc::clone(&first.key)), ..Names::default() };
        for certificate in certificates {
            for domain in &certificate.domains {
                names.by_name.entry(domain.as_str().into()).or_insert_with(|| Arc::clone(&certificate.key));
            }
        }
        self.names.store(Arc::new(names));
    }

    /// What is answered to authorities.
    #[must_use]
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// How TLS is spoken with these: 1.2 and 1.3, sessions resumed by tickets.
    ///
    /// # Errors
    /// There are no random numbers to be had.
    pub fn config(&self) -> io::Result<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_no_client_auth();
        let mut config = config.with_cert_resolver(Arc::new(self.clone()));
        config.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS);
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(io::Error::other)?;
        // Who offers HTTP/1.0 alone would be refused by TLS for what HTTP would have answered.
        config.alpn_protocols =
            vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec(), VALIDATION.to_vec()];
        // One is enough for a client that resumes its session, and each is a record of its own.
        config.send_tls13_tickets = 1;
        Ok(config)
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let names = self.names.load();
        let known = name.and_then(|name| {
            let exact = names.by_name.get(name);
            exact.or_else(|| names.by_name.get(format!("*.{}", name.split_once('.')?.1).as_str()))
        });
        known.or(names.first.as_ref()).map(Arc::clone)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.alpn().is_some_and(|mut asked| asked.any(|protocol| protocol == VALIDATION)) {
            return self.answers.validation(hello.server_name());
        }
        // rustls has it in lower case.
        self.find(hello.server_name())
    }
}
