//! The installation's own authority: signs for names that no other would sign for, and for all others until one has.

use jiff::SignedDuration;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use tandem_types::Timestamp;
use time::OffsetDateTime;

/// Clocks differ: what is signed holds since yesterday.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);
/// People trust it once and not again and again.
const LIFE: SignedDuration = SignedDuration::from_hours(24 * 3650);
/// Browsers refuse certificates of more than 398 days; these are signed anew after two thirds.
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Why something is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A key cannot be made or read, or a name is none.
    #[error("sign a certificate")]
    Sign(#[from] rcgen::Error),
    /// The time is none that certificates can say.
    #[error("sign a certificate: the clock is far off")]
    Time,
}

/// An authority.
#[derive(Debug)]
pub struct Authority {
    name: String,
    certificate: String,
    key: KeyPair,
    not_after: Timestamp,
}

/// A certificate that was signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// It and those between it and its authority, as PEM.
    pub chain: String,
    /// Its key, as PEM.
    pub key: String,
    /// From when on it holds.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issued({} to {})", self.not_before, self.not_after)
    }
}

impl Authority {
    /// Makes one with a key of its own (P-256).
    ///
    /// # Errors
    /// There are no random numbers to be had.
    pub fn create(name: &str, now: Timestamp) -> Result<Self, SignError> {
        let key = KeyPair::generate()?;
        let not_after = now + LIFE;
        let mut params = params_of(name);
        (params.not_before, params.not_after) = (time_of(now - BACKDATED)?, time_of(not_after)?);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { name: name.to_owned(), certificate, key, not_after })
    }

    /// One that was made before.
    ///
    /// # Errors
    /// The key is none.
    pub fn read(
        name: &str,
        certificate: &str,
        (key, not_after): (&str, Timestamp),
    ) -> Result<Self, SignError> {
        let key = KeyPair::from_pem(key)?;
        Ok(Self { name: name.to_owned(), certificate: certificate.to_owned(), key, not_after })
    }

    /// Its certificate, as PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its key, as PEM.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// Until when it holds.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Signs for a domain, with a new key.
    ///
    /// # Errors
    /// The domain is none, or there are no random numbers to be had.
    pub fn issue(&self, domain: &str, now: Timestamp) -> Result<Issued, SignError> {
        let key = KeyPair::generate()?;
        let (not_before, not_after) = (now - BACKDATED, (now + LEAF_LIFE).min(self.not_after));
        let mut params = CertificateParams::new(vec![domain.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, domain);
        (params.not_before, params.not_after) = (time_of(not_before)?, time_of(not_after)?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::new(params_of(&self.name), &self.key);
        let chain = params.signed_by(&key, &issuer)?.pem();
        Ok(Issued {
            chain,
            key: key.serialize_pem(),
            not_before: whole(not_before),
            not_after: whole(not_after),
        })
    }
}

/// Certificates know seconds.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn params_of(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn time_of(time: Timestamp) -> Result<OffsetDateTime, SignError> {
    OffsetDateTime::from_unix_timestamp(time.as_second()).map_err(|_| SignError::Time)
}

/// A request for a certificate of another authority (RFC 2986), with its new key.
pub struct Request {
    /// DER.
    pub der: Vec<u8>,
    /// PEM.
    pub key: String,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} bytes)", self.der.len())
    }
}

impl Request {
    /// For one domain.
    ///
    /// # Errors
    /// The domain is none, or there are no random numbers to be had.
    pub fn of(domain: &str) -> Result<Self, SignError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![domain.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        let der = params.serialize_request(&key)?.der().to_vec();
        Ok(Self { der, key: key.serialize_pem() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Certificate;

    #[test]
    fn an_authority_that_was_read_back_signs_in_the_same_name() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let made = Authority::create("Tandem on box", now).unwrap();
        let read = Authority::read("Tandem on box", made.certificate(), (&made.key(), made.not_after()));
        let read = read.unwrap();
        for authority in [&made, &read] {
            let issued = authority.issue("*.shop.localhost", now).unwrap();
            let shown = Certificate::read(vec![], issued.chain.as_bytes(), issued.key.as_bytes());
            assert!(shown.is_ok(), "{shown:?}");
            assert!(!format!("{issued:?}").contains("PRIVATE"));
        }
        let late = made.not_after() - SignedDuration::from_hours(1);
        assert_eq!(made.issue("a.localhost", late).unwrap().not_after, made.not_after());
    }
}
