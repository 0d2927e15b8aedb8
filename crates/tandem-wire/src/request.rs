//! The head of a request.

use std::mem::MaybeUninit;

use http::Method;

use super::fields::{Fields, Kind, Span};
use super::forward::{self, HostError};
use super::framing::length;
use super::{Framing, HeadError, MOST_FIELDS, Version, refused};

/// A request's head, well-formed in itself.
#[derive(Debug)]
pub struct RequestHead {
    /// Its fields.
    pub fields: Fields,
    /// Its method.
    pub method: Method,
    /// Its version.
    pub version: Version,
    /// How its body is framed.
    pub framing: Framing,
    target: Target,
    host: Result<Span, HostError>,
}

/// What a request is for, in one of the forms of RFC 9112, 3.2, and where that lies. All of it is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A path with its query: `/a?b`.
    Origin(Span),
    /// The same with scheme and authority, which go before `Host`.
    Absolute {
        /// `shop.example:80`.
        authority: Span,
        /// `/a?b`, `?b` or nothing.
        path: Span,
    },
    /// `*`: the server as a whole.
    Asterisk,
    /// Anything else.
    Other,
}

/// Why a request's head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is none.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Only `chunked` is passed on: another coding would be lost on the way.
    #[error("the request's transfer coding is not supported")]
    TransferCoding,
    /// Where its body ends can be understood in two ways.
    #[error("{0}")]
    Length(&'static str),
}

impl RequestHead {
    /// Reads a whole head: lines up to an empty one.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(bytes, &mut headers);
        let status = parsed.map_err(|error| refused_line(error, bytes))?;
        let (Some(method), Some(target), Some(version), true) =
            (request.method, request.path, request.version, status.is_complete())
        else {
            return Err(HeadError::Malformed("the head is not whole").into());
        };
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| HeadError::Malformed("the method is malformed"))?;
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let target = Target::of(target, bytes);
        let fields = Fields::new(bytes, request.headers)?;
        let framing = framing(&fields, version)?;
        let host = forward::find_host(&fields, target, version);
        Ok(Self { fields, method, version, framing, target, host })
    }

    /// What it is for.
    pub(super) fn target(&self) -> Target {
        self.target
    }

    /// Where the host lies that it asks for; see [`forward::host_of`].
    pub(super) fn host(&self) -> Result<Span, HostError> {
        self.host
    }

    /// What lies there: a part of it that was seen to be text.
    pub(super) fn text(&self, span: Span) -> &str {
        std::str::from_utf8(span.get(self.fields.bytes())).unwrap_or_default()
    }

    /// Bytes that it took on the wire.
    pub fn length(&self) -> usize {
        self.fields.bytes().len()
    }

    /// Whether the client keeps its connection after the answer.
    pub fn keeps_alive(&self) -> bool {
        let wishes = self.fields.wishes();
        !wishes.close && (self.version != Version::Http10 || wishes.keep)
    }
}

impl Target {
    /// Reads one that lies in the bytes of a head, without its fragment, which has no place in a request.
    fn of(text: &str, head: &[u8]) -> Self {
        let bytes = text.as_bytes();
        let end = bytes.iter().position(|byte| *byte == b'#').unwrap_or(bytes.len());
        let text = &text[..end];
        let span = |part: &str| Span::of(part.as_bytes(), head);
        if text.starts_with('/') {
            return Self::Origin(span(text));
        }
        if text == "*" {
            return Self::Asterisk;
        }
        let rest = text.split_once("://").filter(|(scheme, _)| {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        });
        let Some((_, rest)) = rest else { return Self::Other };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.is_empty() {
            return Self::Other;
        }
        Self::Absolute { authority: span(authority), path: span(path) }
    }
}

/// Another protocol than HTTP is no other version of it.
fn refused_line(error: httparse::Error, bytes: &[u8]) -> HeadError {
    let line = bytes.split(|byte| *byte == b'\r').find(|line| !line.is_empty()).unwrap_or_default();
    let version = line.split(|byte| *byte == b' ').nth(2).unwrap_or_default();
    match error {
        httparse::Error::Version if !is_version(version) => refused(httparse::Error::Token),
        error => refused(error),
    }
}

/// `HTTP/2.0`, say (RFC 9112, 2.3).
fn is_version(text: &[u8]) -> bool {
    matches!(text, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

fn framing(fields: &Fields, version: Version) -> Result<Framing, RequestError> {
    let mut codings = fields.all(Kind::TransferEncoding);
    let mut lengths = fields.all(Kind::ContentLength);
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(Framing::None),
        (None, Some(value)) => {
            let told = length(value).filter(|_| lengths.next().is_none());
            match told {
                Some(0) => Ok(Framing::Length(0)),
                Some(told) => Ok(Framing::Length(told)),
                None => Err(RequestError::Length("the request's Content-Length is malformed or comes twice")),
            }
        }
        // Whoever reads the length and whoever reads the chunks see two different requests.
        (Some(_), Some(_)) => {
            Err(RequestError::Length("the request has both Transfer-Encoding and Content-Length"))
        }
        (Some(_), None) if version == Version::Http10 => {
            Err(RequestError::Length("HTTP/1.0 knows no Transfer-Encoding"))
        }
        (Some(coding), None) => coded(coding, codings.next().is_some()),
    }
}

/// `chunked` alone is understood. Where it is not the last coding nobody knows where the body ends.
fn coded(coding: &[u8], is_several: bool) -> Result<Framing, RequestError> {
    if is_several {
        return Err(RequestError::TransferCoding);
    }
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    let last = coding.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    match last.eq_ignore_ascii_case(b"chunked") {
        true => Err(RequestError::TransferCoding),
        false => Err(RequestError::Length("the request's body has no end")),
    }
}
