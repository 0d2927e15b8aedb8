//! Requests to an authority: HTTP/1.1 over TLS, one connection each. There are a dozen in two months.
//!
//! What the authority says in `Retry-After` beside a refusal is kept here: it is heard by whoever decides when to try again.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::SignedDuration;
use jiff::fmt::rfc2822::DateTimeParser;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tandem_kit::clock::Clock;
use tandem_kit::tasks;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::trouble::Trouble;

/// Time a request has from its connection to the end of its answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest answer: a chain of certificates has some kilobytes.
const LONGEST: usize = 1 << 20;

/// Speaks to an authority.
#[derive(Clone)]
pub(crate) struct Wire {
    connector: TlsConnector,
    clock: Clock,
    left_alone: LeftAlone,
}

/// For how long the authority asked last to be left alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeftAlone(Arc<Mutex<Option<SignedDuration>>>);

impl LeftAlone {
    pub(crate) fn get(&self) -> Option<SignedDuration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, wait: Option<SignedDuration>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = wait;
    }
}

impl Wire {
    /// Knows an authority by these roots (PEM), or by the system's.
    pub(crate) fn new(roots: Option<&Path>, clock: &Clock) -> Result<Self, Trouble> {
        let mut known = RootCertStore::empty();
        match roots {
            Some(path) => {
                let certificates =
                    CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let certificates = certificates
                    .map_err(|error| Trouble::new(format!("{} cannot be read: {error}", path.display())))?;
                known.add_parsable_certificates(certificates);
            }
            None => {
                known.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if known.is_empty() {
            return Err(Trouble::new(
                "no authority is known to this machine: `apt-get install ca-certificates`, or name a file with --acme-ca",
            ));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| Trouble::of("prepare TLS", &error))?;
        let config = config.with_root_certificates(known).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, clock: clock.clone(), left_alone: LeftAlone::default() })
    }

    /// What it heard.
    pub(crate) fn left_alone(&self) -> LeftAlone {
        self.left_alone.clone()
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Full<Bytes>>, Error> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
        let uri = std::mem::take(&mut parts.uri);
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
        let authority = authority.ok_or(Error::Unsupported("URLs without https"))?.clone();
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        parts.uri = Uri::from(path);
        let host = authority.as_str().parse().map_err(|_| Error::Unsupported("such names of hosts"))?;
        parts.headers.insert(HOST, host);
        let name = authority.host().trim_matches(['[', ']']).to_owned();
        let stream =
            TcpStream::connect((name.as_str(), authority.port_u16().unwrap_or(443))).await.map_err(other)?;
        let name = ServerName::try_from(name).map_err(other)?;
        let stream = self.connector.connect(name, stream).await.map_err(other)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(other)?;
        // It ends with this request: there is no further one on it.
        let _connection = tasks::owned("acme-connection", async move {
            let _ = connection.await;
        });
        let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await.map_err(other)?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(Error::Other)?.to_bytes();
        self.left_alone.set(if parts.status.is_success() { None } else { self.wait_in(&parts.headers) });
        Ok(Response::from_parts(parts, Full::new(body)))
    }

    /// Seconds, or a date (RFC 9110, 10.2.3).
    fn wait_in(&self, headers: &HeaderMap) -> Option<SignedDuration> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse::<u32>() {
            return Some(SignedDuration::from_secs(seconds.into()));
        }
        static PARSER: DateTimeParser = DateTimeParser::new();
        let time = PARSER.parse_timestamp(text).ok()?;
        Some(time.duration_since(self.clock.now()).max(SignedDuration::ZERO))
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let asking = self.clone().ask(request);
        Box::pin(async move {
            let late = |_| other(io::Error::from(io::ErrorKind::TimedOut));
            tokio::time::timeout(LIMIT, asking).await.map_err(late)?.map(BytesResponse::from)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_that_is_asked_for_is_understood_in_seconds_and_as_a_date() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let authority = tandem_certificates::Authority::create("test", now).unwrap();
        tandem_kit::files::write_atomic(file.path(), authority.certificate().as_bytes(), 0o644).unwrap();
        let wire = Wire::new(Some(file.path()), &Clock::manual(now).0).unwrap();
        let wait = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static(text))]);
            wire.wait_in(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 22 Nov 2026 13:00:00 GMT"), Some(3600));
        assert_eq!(wait("Sun, 22 Nov 2026 11:00:00 GMT"), Some(0));
        assert_eq!((wait("soon"), wait("")), (None, None));
    }

    #[test]
    fn a_file_without_roots_is_refused_with_its_name() {
        let refused = Wire::new(Some(Path::new("/nonexistent.pem")), &Clock::system()).err().unwrap();
        assert!(refused.message.starts_with("/nonexistent.pem cannot be read"), "{refused}");
    }
}
