//! HTTPS: what an app wishes, certificates, and how an authority is asked for them (decision 023).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::Kind;
use crate::environment::Sealed;
use crate::{Span, Timestamp};

/// `[https]` of `tandem.toml`: what balancers do for an app besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HttpsSpec {
    /// Whoever asks over HTTP is sent to HTTPS, where the balancer serves it.
    #[serde(default)]
    pub redirect: bool,
    /// How long browsers are told to come by HTTPS alone (RFC 6797); none: they are told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Span>,
}

/// The installation's own authority (`https/authority`): whoever trusts it trusts what it signs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocalAuthority {
    /// Its name, as certificates and browsers show it.
    pub name: String,
    /// Its certificate, as PEM.
    pub certificate: String,
    /// The key of that, as PEM.
    pub key: Sealed,
    /// When it was made.
    pub created: Timestamp,
    /// When its certificate ends.
    pub not_after: Timestamp,
}

impl Kind for LocalAuthority {
    const KIND: &'static str = "local_authority/1";
}

/// An account at an authority that speaks ACME (`https/account`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcmeAccount {
    /// URL of the authority's directory (RFC 8555, 7.1.1).
    pub directory: String,
    /// Where the authority writes to; none: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Name and key of the account.
    pub credentials: Sealed,
    /// When it was made.
    pub created: Timestamp,
}

impl Kind for AcmeAccount {
    const KIND: &'static str = "acme_account/1";
}

/// Who signed a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signer {
    /// The installation's own authority.
    Local,
    /// An authority that speaks ACME.
    Acme,
}

/// A domain's certificate (`https/certificates/<domain>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The domain, as routes have it.
    pub domain: String,
    /// Who signed it.
    pub signer: Signer,
    /// It and those between it and its authority, as PEM.
    pub chain: String,
    /// Its key, as PEM.
    pub key: Sealed,
    /// From when on it holds.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

impl Kind for Certificate {
    const KIND: &'static str = "certificate/1";
}

/// How an authority was asked for a certificate last (`https/orders/<domain>`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateOrder {
    /// The domain.
    pub domain: String,
    /// Attempts that failed in a row, the one under way too; 0: the last one brought it.
    pub attempts: u32,
    /// When the last one began.
    pub began: Timestamp,
    /// When the next one may.
    pub next: Timestamp,
    /// What was wrong, for people; none while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Kind for CertificateOrder {
    const KIND: &'static str = "certificate_order/1";
}

/// What balancers answer when an authority looks (`https/challenges`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Challenges {
    /// Grows with each change; balancers say up to which one they answer.
    pub number: u64,
    /// Token → key authorization, for `http-01` (RFC 8555, 8.3).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub http: BTreeMap<String, String>,
    /// Domain → SHA-256 of the key authorization in hexadecimal digits, for `tls-alpn-01` (RFC 8737).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tls_alpn: BTreeMap<String, String>,
}

impl Kind for Challenges {
    const KIND: &'static str = "challenges/1";
}

/// What a balancer shows (`GET /v1/balancers/B/certificates`), and keeps in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServedCertificates {
    /// By domain.
    pub certificates: Vec<ServedCertificate>,
}

/// One of them, with its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedCertificate {
    /// The domain.
    pub domain: String,
    /// The certificate and those between it and its authority, as PEM.
    pub chain: String,
    /// Its key, as PEM.
    pub key: String,
}

impl std::fmt::Debug for ServedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServedCertificate({})", self.domain)
    }
}

/// The installation's own authority, for who wants to trust it (`GET /v1/authority`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityCertificate {
    /// Its name.
    pub name: String,
    /// Its certificate, as PEM.
    pub certificate: String,
    /// Until when it holds.
    pub not_after: Timestamp,
}

/// A domain's certificate in `tandem status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateLine {
    /// The domain.
    pub domain: String,
    /// Who signed what is shown now; none: there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// Until when that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// When the next attempt to get one may begin, after one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
