//! Which host a request asks for (RFC 9112, 3.2).

use std::net::Ipv6Addr;

use crate::fields::{Fields, Span};
use crate::request::Target;
use crate::{Kind, RequestHead, Version};

/// Why a request names no usable host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
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
///
/// # Errors
/// See [`HostError`].
pub fn host_of(head: &RequestHead) -> Result<&str, HostError> {
    head.host().map(|host| head.text(host))
}

/// Where the host lies that a request with these fields asks for.
pub(crate) fn find_host(fields: &Fields, target: Target, version: Version) -> Result<Span, HostError> {
    let sent = fields.only_span(Kind::Host).map_err(|_| HostError::Several)?;
    if sent.is_none() && version != Version::Http10 {
        return Err(HostError::Missing);
    }
    let host = match target {
        // The port is part of the authority, a user's name and password are too: those are refused below.
        Target::Absolute { authority, .. } => authority,
        _ => sent.unwrap_or_default(),
    };
    let text = std::str::from_utf8(host.get(fields.bytes())).map_err(|_| HostError::Malformed)?;
    if is_host(text) { Ok(host) } else { Err(HostError::Malformed) }
}

/// A name or an address, IPv6 in brackets, with a port or without. An app may look at the port alone, or at what is left
/// of the last colon: there must be one way only to take it apart.
fn is_host(host: &str) -> bool {
    let (is_named, rest) = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, rest)) => (is_v6(inner), rest),
        None => {
            let end = host.bytes().position(|byte| byte == b':').unwrap_or(host.len());
            let (name, rest) = host.split_at(end);
            (name.bytes().all(is_name_byte), rest)
        }
    };
    is_named && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// With a zone or without (RFC 6874): `fe80::1%25eth0`.
fn is_v6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, ""));
    address.parse::<Ipv6Addr>().is_ok() && zone.bytes().all(is_name_byte)
}

/// No digits at all are the default port (RFC 3986, 3.2.3).
fn is_port(text: &str) -> bool {
    text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Letters, digits and what names are written with. Not `/`, `@`, `,` or white space.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~')
}
