//! Which host a request asks for (RFC 9112, 3.2).

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Version};

/// Why a request names no usable host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    /// HTTP/1.1 asks for exactly one `Host`.
    #[error("the request has no Host header")]
    Missing,
    /// Two answers to one question: the instance might choose the other.
    #[error("the request has more than one Host header")]
    Several,
    /// Not a host name, IP address or either with a port.
    #[error("the request's Host header is malformed")]
    Malformed,
}

/// The host a request asks for, with its port where one was sent. A target in absolute form goes before `Host`, which
/// HTTP/1.1 wants to be there all the same.
pub(crate) fn host_of(parts: &Parts) -> Result<HeaderValue, HostError> {
    let mut values = parts.headers.get_all(HOST).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(HostError::Several);
    }
    if first.is_none() && parts.version != Version::HTTP_10 {
        return Err(HostError::Missing);
    }
    let host = match parts.uri.authority() {
        // The port is part of the authority, a user's name and password are too: those are refused below.
        Some(authority) => HeaderValue::from_str(authority.as_str()).map_err(|_| HostError::Malformed)?,
        None => match first {
            Some(value) => value.clone(),
            None => return Ok(HeaderValue::from_static("")),
        },
    };
    if host.as_bytes().iter().all(|byte| is_host_byte(*byte)) { Ok(host) } else { Err(HostError::Malformed) }
}

/// Letters, digits and what names, IPv6 addresses and ports are written with. Not `/`, `@`, `,` or white space.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%' | b'~')
}
