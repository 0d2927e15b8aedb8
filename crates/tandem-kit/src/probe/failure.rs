//! Why an instance is not well, and what to change where its answer tells.

use std::error::Error;
use std::io;

use http::StatusCode;
use tandem_types::Span;

use super::page::Page;
use crate::error::chain;

/// Why a probe was not good; for people, after "not ready: ".
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error("connecting to it failed")]
    Connect(#[source] io::Error),
    /// Too slow.
    #[error("GET {path} got no answer within {limit}")]
    Timeout {
        /// Path and query.
        path: String,
        /// How long it had.
        limit: Span,
    },
    /// It answered that it cannot, or with what is no good answer.
    #[error("GET {path} answered {status}{}{page}", if page.is_empty() { "" } else { ": " })]
    Status {
        /// Path and query.
        path: String,
        /// `Host` header.
        host: String,
        /// Its answer.
        status: StatusCode,
        /// What it says.
        page: Page,
    },
    /// It redirects to https whatever it is told.
    #[error(
        "GET {path} as {host} redirects to https, and with X-Forwarded-Proto: https to the very same again: a browser would \
         be sent round for ever"
    )]
    HttpsForEver {
        /// Path and query.
        path: String,
        /// `Host` header.
        host: String,
    },
    /// Something that is no HTTP, or a connection that was cut.
    #[error("GET {path} was not answered properly: {reason}")]
    Broken {
        /// Path and query.
        path: String,
        /// Why, as a whole chain.
        reason: String,
    },
}

impl Failure {
    pub(super) fn broken(path: &str, reason: &(dyn Error + 'static)) -> Self {
        Self::Broken { path: path.to_owned(), reason: chain(reason) }
    }

    /// Whether nobody accepts connections there.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether it will answer so until it is changed: it waits for nothing that may still come.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::HttpsForEver { .. } => true,
            Self::Status { status: StatusCode::BAD_REQUEST, page, .. } => refuser(page, false).is_some(),
            _ => false,
        }
    }

    /// What to change, where the answer tells. `is_django`: the app is known to be a Django project.
    #[must_use]
    pub fn advice(&self, is_django: bool) -> Option<String> {
        match self {
            Self::HttpsForEver { .. } if is_django => Some(
                "set SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\") in the settings: without it Django \
                 does not know that it was asked by https"
                    .to_owned(),
            ),
            Self::HttpsForEver { .. } => {
                Some("have the app trust X-Forwarded-Proto, which says https where it was".to_owned())
            }
            Self::Status { status: StatusCode::BAD_REQUEST, host, page, .. } => {
                let name = without_port(host);
                Some(match refuser(page, is_django) {
                    Some(setting) => format!("add \"{name}\" to {setting}"),
                    None => format!(
                        "see whether the app knows its host name {name}; [processes.web.health] has `host` for another, \
                         and `status = \"200-499\"` takes 400 for good"
                    ),
                })
            }
            _ => None,
        }
    }
}

/// Whose 400 it is: the setting that lacks the host. Django's pages say so in their own words; one that the app made itself is
/// told by its being Django.
fn refuser(page: &Page, is_django: bool) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|words| page.says(words));
    if says(&["Invalid host header"]) {
        return Some("`allowed_hosts` of its TrustedHostMiddleware");
    }
    let is_djangos = is_django || says(&["Bad Request (400)", "DisallowedHost", "ALLOWED_HOSTS"]);
    is_djangos.then_some("ALLOWED_HOSTS in the settings")
}

/// The name in a `Host` header (RFC 9110 §7.2).
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
