//! What an instance gets of a request.

use std::net::IpAddr;
use std::rc::Rc;

use http::Method;

use super::REQUEST_ID;
use crate::request::Target;
use crate::{Fields, Framing, Kind, RequestHead, Version};

/// Who asks, and what is told of that.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'r> {
    /// The client's address.
    pub address: &'r str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host that was asked for.
    pub host: &'r str,
    /// The request's id.
    pub id: &'r str,
    /// Whether the instance is told of all that, but for the host.
    pub is_told: bool,
}

/// An address as `X-Forwarded-For` carries it; made once per connection.
pub fn address_text(address: IpAddr) -> Rc<str> {
    // An IPv4 client of a dual-stack socket is an IPv4 client.
    address.to_canonical().to_string().into()
}

/// Why a request is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Tunnels to anywhere are not this proxy's business.
    #[error("CONNECT is not supported")]
    Connect,
    /// A host alone is for CONNECT, `*` is for OPTIONS (RFC 9112, 3.2); no app expects them, or `ftp:`, elsewhere.
    #[error("the request's target is neither a path nor an address with http:// or https://")]
    Target,
}

/// The path that is asked for, with its query: `/a?b`; `*` for the server as a whole.
///
/// # Errors
/// See [`Refusal`].
pub fn path_of(head: &RequestHead) -> Result<&str, Refusal> {
    if head.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    match head.target() {
        Target::Origin(path) | Target::Absolute { path, .. } => Ok(head.text(path)),
        Target::Asterisk if head.method == Method::OPTIONS => Ok("*"),
        Target::Asterisk | Target::Other => Err(Refusal::Target),
    }
}

/// Writes a request's head for an instance: fields that end here left out, the balancer's own put in, target in origin
/// form, HTTP/1.1. `upgrade`: the protocol that the connection may become.
pub fn write_request(out: &mut Vec<u8>, head: &RequestHead, origin: &Origin<'_>, upgrade: Option<&[u8]>) {
    let path = path_of(head).unwrap_or("/");
    // No path becomes `/` (RFC 9112, 3.2.1).
    let root = if path.starts_with(['/', '*']) { "" } else { "/" };
    put(out, &[head.method.as_str().as_bytes(), b" ", root.as_bytes(), path.as_bytes(), b" HTTP/1.1\r\n"]);
    field(out, b"host", origin.host.as_bytes());
    for (name, value, kind) in head.fields.iter() {
        if kind.is_passed_on() {
            field(out, name, value);
        }
    }
    match head.framing {
        Framing::Length(length) => {
            let mut text = itoa::Buffer::new();
            field(out, b"content-length", text.format(length).as_bytes());
        }
        Framing::Chunked => field(out, b"transfer-encoding", b"chunked"),
        Framing::None | Framing::UntilEnd => {}
    }
    if let Some(protocol) = upgrade {
        field(out, b"connection", b"upgrade");
        field(out, b"upgrade", protocol);
    }
    if origin.is_told {
        field(out, b"x-forwarded-for", origin.address.as_bytes());
        field(out, b"x-forwarded-proto", origin.scheme.as_bytes());
        field(out, b"x-forwarded-host", origin.host.as_bytes());
        field(out, REQUEST_ID, origin.id.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The protocol a request wants to switch to, where the balancer will carry that through: asked for in the full form,
/// without a body, and not HTTP/2, whose frames would pass every header rule by.
pub fn upgrade_wanted(head: &RequestHead) -> Option<&[u8]> {
    let protocol = head.fields.only(Kind::Upgrade).ok()??;
    let asked = head.version == Version::Http11
        && head.method == Method::GET
        && head.fields.wishes().upgrade
        && matches!(head.framing, Framing::None | Framing::Length(0));
    let plain = !protocol.to_ascii_lowercase().windows(2).any(|pair| pair == b"h2");
    (asked && plain).then_some(protocol)
}

/// Whether the client waits to be told to send the body. Nothing else can be expected of anybody (RFC 9110, 10.1.1).
pub fn expects_continue(fields: &Fields) -> bool {
    fields.all(Kind::Expect).any(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

/// Writes a field.
pub(super) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put(out, &[name, b": ", value, b"\r\n"]);
}

/// Writes some parts.
pub(super) fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}
