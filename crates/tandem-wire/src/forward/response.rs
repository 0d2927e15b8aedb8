//! What a client gets of an answer.

use http::{HeaderMap, Method, StatusCode};

use super::request::{field, put};
use crate::{Framing, Kind, ResponseError, ResponseHead, Version};

/// Room for a head as most are: to grow step by step costs more than to write it.
const ROOM: usize = 512;

const HSTS: &[u8] = b"strict-transport-security";
pub(crate) const REQUEST_ID: &[u8] = b"x-request-id";

/// How an answer goes to its client.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'r> {
    /// The request's id, where the client is told.
    pub id: Option<&'r str>,
    /// Version of the request.
    pub version: Version,
    /// Whether the connection is kept after it.
    pub keeps: bool,
    /// `Date` where the answer has none, as a field's value.
    pub date: &'r str,
    /// For how many seconds the client is told to come by HTTPS alone (RFC 6797), where the answer does not tell it by itself.
    pub hsts: Option<u64>,
}

/// Takes the head of an answer piece by piece: as text of HTTP/1.1, or as what HTTP/2 has for it.
pub trait HeadWriter {
    /// Begins it.
    fn status(&mut self, status: StatusCode, version: Version);

    /// One more field.
    fn field(&mut self, name: &[u8], value: &[u8]);

    /// A field that says how HTTP/1.1 goes on on this connection.
    fn connection_field(&mut self, name: &[u8], value: &[u8]);

    /// That was all of it.
    fn end(&mut self);
}

impl HeadWriter for Vec<u8> {
    fn status(&mut self, status: StatusCode, version: Version) {
        self.reserve(ROOM);
        status_line(self, status, version);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        field(self, name, value);
    }

    fn connection_field(&mut self, name: &[u8], value: &[u8]) {
        field(self, name, value);
    }

    fn end(&mut self) {
        self.extend_from_slice(b"\r\n");
    }
}

/// Why an answer is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Nobody asked for another protocol.
    #[error("the instance switched protocols without being asked")]
    UnaskedSwitch,
    /// Where it ends is in doubt.
    #[error(transparent)]
    Framing(#[from] ResponseError),
}

/// How an answer's body comes, and whether it goes out in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bodies {
    /// From the instance.
    pub from: Framing,
    /// To the client.
    pub to: Framing,
}

/// How the body of an answer to this method comes and goes on.
///
/// # Errors
/// See [`AnswerError`].
pub fn bodies(head: &ResponseHead, method: &Method, version: Version) -> Result<Bodies, AnswerError> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(AnswerError::UnaskedSwitch);
    }
    let from = head.framing(method)?;
    let to = match (from, version) {
        (Framing::Chunked | Framing::UntilEnd, Version::Http10) => Framing::UntilEnd,
        (Framing::Chunked | Framing::UntilEnd, _) => Framing::Chunked,
        (framing, _) => framing,
    };
    Ok(Bodies { from, to })
}

/// Writes an answer's head for the client.
pub fn write_response(out: &mut dyn HeadWriter, head: &ResponseHead, to: Framing, delivery: &Delivery<'_>) {
    out.status(head.status, delivery.version);
    let mut is_dated = false;
    let mut hsts = delivery.hsts;
    for (name, value, kind) in head.fields.iter() {
        if kind.is_passed_back() {
            is_dated |= kind == Kind::Date;
            hsts = hsts.filter(|_| !name.eq_ignore_ascii_case(HSTS));
            out.field(name, value);
        }
    }
    put_hsts(out, hsts);
    match to {
        Framing::Length(length) => put_length(out, length),
        Framing::Chunked => out.connection_field(b"transfer-encoding", b"chunked"),
        // The answer to HEAD tells of the body that GET would have.
        Framing::None if !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => {
            if let Ok(Some(length)) = head.length() {
                put_length(out, length);
            }
        }
        Framing::None | Framing::UntilEnd => {}
    }
    finish(out, delivery, is_dated);
}

/// Writes the head of an answer of the balancer's own. `length` of the body that it has; none: it has none.
pub fn write_own(
    out: &mut dyn HeadWriter,
    (status, headers): (StatusCode, &HeaderMap),
    length: Option<u64>,
    delivery: &Delivery<'_>,
) {
    out.status(status, delivery.version);
    for (name, value) in headers {
        out.field(name.as_str().as_bytes(), value.as_bytes());
    }
    put_hsts(out, delivery.hsts);
    if let Some(length) = length {
        put_length(out, length);
    }
    finish(out, delivery, headers.contains_key(http::header::DATE));
}

/// Writes an interim answer (RFC 9110, 15.2).
pub fn write_interim(out: &mut Vec<u8>, head: &ResponseHead) {
    status_line(out, head.status, Version::Http11);
    for (name, value, kind) in head.fields.iter() {
        if kind.is_passed_back() {
            field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the `101` that makes the client's connection a tunnel: the two fields that make the switch, and what else the
/// instance says.
pub fn write_switch(out: &mut Vec<u8>, head: &ResponseHead, id: Option<&str>) {
    status_line(out, head.status, Version::Http11);
    for (name, value, kind) in head.fields.iter() {
        if kind.is_passed_back() {
            field(out, name, value);
        }
    }
    if let Ok(Some(protocol)) = head.fields.only(Kind::Upgrade) {
        field(out, b"upgrade", protocol);
    }
    field(out, b"connection", b"upgrade");
    if let Some(id) = id {
        field(out, REQUEST_ID, id.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, status: StatusCode, version: Version) {
    let version: &[u8] = if version == Version::Http10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
    let reason = status.canonical_reason().unwrap_or_default();
    put(out, &[version, status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"]);
}

fn put_length(out: &mut dyn HeadWriter, length: u64) {
    let mut text = itoa::Buffer::new();
    out.field(b"content-length", text.format(length).as_bytes());
}

fn put_hsts(out: &mut dyn HeadWriter, seconds: Option<u64>) {
    if let Some(seconds) = seconds {
        out.field(HSTS, format!("max-age={seconds}").as_bytes());
    }
}

fn finish(out: &mut dyn HeadWriter, delivery: &Delivery<'_>, is_dated: bool) {
    if let Some(id) = delivery.id {
        out.field(REQUEST_ID, id.as_bytes());
    }
    if !is_dated {
        out.field(b"date", delivery.date.as_bytes());
    }
    match (delivery.keeps, delivery.version) {
        (false, _) => out.connection_field(b"connection", b"close"),
        (true, Version::Http10) => out.connection_field(b"connection", b"keep-alive"),
        (true, _) => {}
    }
    out.end();
}
