//! One question to one instance: do you answer?
//!
//! Asked as the balancer would: the app's own host name, plain HTTP, on loopback. The connection is not kept, so that
//! an app that closes idle ones is never blamed for it.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tandem_types::{Health, Span};
use tokio::net::TcpStream;

/// Most of an error page that is read to find its first line.
const EXCERPT_BYTES: usize = 4096;
/// Most of that line that is told.
const EXCERPT_CHARS: usize = 200;

/// Whom to ask, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Port on loopback.
    pub(crate) port: u16,
    /// `Host` header.
    pub(crate) host_header: String,
    /// What to ask, and which answers are good.
    pub(crate) health: Health,
}

/// Why an instance is not well. Printed for people, after "not ready: ".
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody accepts.
    #[error("nothing listens on port {0} yet: connection refused")]
    Refused(u16),
    /// No connection for another reason.
    #[error("connecting to port {port} failed: {source}")]
    Connect { port: u16, source: std::io::Error },
    /// Too slow.
    #[error("GET {path} got no answer within {limit}")]
    Timeout { path: String, limit: Span },
    /// It answered that it cannot.
    #[error("GET {path} answered {status}{}{excerpt}", if excerpt.is_empty() { "" } else { ": " })]
    Status { path: String, status: StatusCode, excerpt: String },
    /// Something that is no HTTP, or a connection that was cut.
    #[error("GET {path} was not answered properly: {reason}")]
    Broken { path: String, reason: String },
}

/// Asks once, within a limit (outside of tests [`tandem_types::defaults::PROBE_TIMEOUT`]).
pub(crate) async fn probe(target: &Target, limit: Span) -> Result<(), Failure> {
    match tokio::time::timeout(limit.as_duration(), ask(target)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Timeout { path: target.health.path.clone(), limit }),
    }
}

async fn ask(target: &Target) -> Result<(), Failure> {
    let port = target.port;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect(address).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::ConnectionRefused => Failure::Refused(port),
        _ => Failure::Connect { port, source },
    })?;
    let request = request(target)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(target, &e))?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|error| broken(target, &error))?;
        judge(target, response).await
    };
    // The connection may end before its answer is looked at, never the other way round.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<Result<(), Failure>>().await
    };
    tokio::select! {
        outcome = answer => outcome,
        never = drive => never,
    }
}

fn request(target: &Target) -> Result<Request<Empty<Bytes>>, Failure> {
    let Health { path, host, https, .. } = &target.health;
    let host = HeaderValue::from_str(host.as_ref().unwrap_or(&target.host_header))
        .map_err(|error| broken(target, &error))?;
    Request::get(path)
        .header(HOST, host)
        .header(CONNECTION, HeaderValue::from_static("close"))
        .header(USER_AGENT, HeaderValue::from_static(concat!("tandem-probe/", env!("CARGO_PKG_VERSION"))))
        .header("x-forwarded-proto", HeaderValue::from_static(if *https { "https" } else { "http" }))
        .body(Empty::new())
        .map_err(|error| broken(target, &error))
}

async fn judge(target: &Target, response: Response<Incoming>) -> Result<(), Failure> {
    let status = response.status();
    if target.health.statuses.contains(status.as_u16()) {
        return Ok(());
    }
    let excerpt = excerpt(response.into_body()).await;
    Err(Failure::Status { path: target.health.path.clone(), status, excerpt })
}

/// The first line of an error page that says something; empty where it breaks off before.
async fn excerpt(mut body: Incoming) -> String {
    let mut text = Vec::new();
    while text.len() < EXCERPT_BYTES {
        match body.frame().await {
            Some(Ok(frame)) => text.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref())),
            _ => break,
        }
    }
    text.truncate(EXCERPT_BYTES);
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(EXCERPT_CHARS).collect()
}

fn broken(target: &Target, reason: &dyn std::error::Error) -> Failure {
    let causes = std::iter::successors(reason.source(), |cause| cause.source());
    let reason = causes.fold(reason.to_string(), |line, cause| format!("{line}: {cause}"));
    Failure::Broken { path: target.health.path.clone(), reason }
}

#[cfg(test)]
mod tests;
