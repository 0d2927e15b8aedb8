//! What is answered to an authority that looks whether a domain leads here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use tandem_types::https::Challenges;

use crate::authority::SignError;

/// Where authorities ask for a token (RFC 8555, 8.3).
pub const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// What a handshake asks for by which an authority looks (RFC 8737). No request comes behind it.
pub const VALIDATION: &[u8] = b"acme-tls/1";

/// The answers that are given now; cheap to clone, clones give the same.
#[derive(Debug, Clone, Default)]
pub struct Answers(Arc<ArcSwap<Published>>);

#[derive(Debug, Default)]
struct Published {
    number: u64,
    http: BTreeMap<String, String>,
    tls_alpn: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl Answers {
    /// Gives these from now on.
    pub fn set(&self, challenges: &Challenges) {
        let mut tls_alpn = HashMap::new();
        for (domain, digest) in &challenges.tls_alpn {
            match validation_certificate(domain, digest) {
                Ok(key) => drop(tls_alpn.insert(domain.as_str().into(), Arc::new(key))),
                Err(error) => tracing::warn!("cannot answer for {domain}: {error}"),
            }
        }
        let (number, http) = (challenges.number, challenges.http.clone());
        self.0.store(Arc::new(Published { number, http, tls_alpn }));
    }

    /// Up to which number of what is published.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.load().number
    }

    /// The answer to a token, by the path of the request; none: it is nobody's that is known here.
    #[must_use]
    pub fn to(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(CHALLENGE_PATH)?;
        self.0.load().http.get(token.split('?').next().unwrap_or(token)).cloned()
    }

    /// What a handshake is shown by which an authority looks.
    pub(crate) fn validation(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.0.load().tls_alpn.get(name?).map(Arc::clone)
    }
}

/// Signed by itself; what counts is the digest in it.
fn validation_certificate(domain: &str, digest: &str) -> Result<CertifiedKey, String> {
    let digest = digits(digest).ok_or_else(|| "the digest is none".to_owned())?;
    let signed = || -> Result<_, SignError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![domain.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        Ok((params.self_signed(&key)?.der().clone(), key.serialize_der()))
    };
    let (certificate, key) = signed().map_err(|error| tandem_kit::error::chain(&error))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    // Not by `from_der`, which reads the certificate and refuses what every other reader has to refuse in it.
    Ok(CertifiedKey::new(vec![certificate], key))
}

/// 32 bytes in hexadecimal digits.
fn digits(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_published_last_is_answered_and_nothing_else() {
        let answers = Answers::default();
        assert_eq!((answers.number(), answers.to("/.well-known/acme-challenge/a")), (0, None));
        let digest = "0f".repeat(32);
        let challenges = Challenges {
            number: 3,
            http: BTreeMap::from([("a".to_owned(), "a.thumb".to_owned())]),
            tls_alpn: BTreeMap::from([("a.org".to_owned(), digest), ("b.org".to_owned(), "0f".to_owned())]),
        };
        answers.clone().set(&challenges);
        assert_eq!(answers.number(), 3);
        assert_eq!(answers.to("/.well-known/acme-challenge/a?x=1").as_deref(), Some("a.thumb"));
        assert_eq!(answers.to("/.well-known/acme-challenge/b"), None);
        assert_eq!(answers.to("/other/a"), None);
        assert!(answers.validation(Some("a.org")).is_some(), "the digest is in it");
        assert!(answers.validation(Some("b.org")).is_none() && answers.validation(None).is_none());
    }
}
