//! The head of an answer.

use std::mem::MaybeUninit;

use http::{Method, StatusCode};

use super::fields::{Fields, Kind};
use super::framing::length;
use super::{Framing, HeadError, MOST_FIELDS, Version, refused};

/// An answer's head, well-formed in itself.
#[derive(Debug)]
pub struct ResponseHead {
    /// Its fields.
    pub fields: Fields,
    /// Its status.
    pub status: StatusCode,
    /// Its version.
    pub version: Version,
}

/// Why an answer is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Only `chunked` is passed on: another coding would be lost on the way.
    #[error("the instance answered with an unsupported transfer coding")]
    TransferCoding,
    /// Where its body ends can be understood in two ways.
    #[error("the instance's answer does not say where it ends, or says it twice")]
    Length,
}

/// Sees whether what came of an answer so far may be the beginning of one.
///
/// # Errors
/// It is not, whatever follows.
pub fn ensure_answers(bytes: &[u8]) -> Result<(), HeadError> {
    let line = bytes.trim_ascii_start();
    let is_one = line.iter().zip(b"HTTP/").all(|(byte, wanted)| byte == wanted);
    if is_one { Ok(()) } else { Err(HeadError::Malformed("it is not HTTP")) }
}

impl ResponseHead {
    /// Reads a whole head: lines up to an empty one.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
        let status = parsed.map_err(refused)?;
        let (Some(code), Some(version), true) = (response.code, response.version, status.is_complete())
        else {
            return Err(HeadError::Malformed("the head is not whole"));
        };
        let status =
            StatusCode::from_u16(code).map_err(|_| HeadError::Malformed("the status is malformed"))?;
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        Ok(Self { fields: Fields::new(bytes, response.headers)?, status, version })
    }

    /// Where its body ends, as the answer to a request with this method.
    ///
    /// # Errors
    /// See [`ResponseError`].
    pub fn framing(&self, method: &Method) -> Result<Framing, ResponseError> {
        let mut codings = self.fields.all(Kind::TransferEncoding);
        let chunked = match (codings.next(), codings.next()) {
            (None, _) => false,
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => true,
            _ => return Err(ResponseError::TransferCoding),
        };
        let told = self.length()?;
        if has_no_body(self.status, method) {
            return Ok(Framing::None);
        }
        match (chunked, told) {
            (true, Some(_)) => Err(ResponseError::Length),
            (true, None) if self.version == Version::Http10 => Err(ResponseError::TransferCoding),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::UntilEnd),
        }
    }

    /// Its `Content-Length`; one that is said several times alike counts once (RFC 9110, 8.6).
    pub fn length(&self) -> Result<Option<u64>, ResponseError> {
        let mut told = None;
        for value in self.fields.all(Kind::ContentLength) {
            let value = length(value).ok_or(ResponseError::Length)?;
            if told.is_some_and(|told| told != value) {
                return Err(ResponseError::Length);
            }
            told = Some(value);
        }
        Ok(told)
    }

    /// Whether the instance keeps the connection after this answer, as far as it says; one that promises a body where
    /// there is none may send it all the same, and it would be taken for the next answer.
    pub fn keeps_alive(&self) -> bool {
        let wishes = self.fields.wishes();
        let promises = || {
            self.fields.all(Kind::TransferEncoding).next().is_some()
                || !matches!(self.length(), Ok(None | Some(0)))
        };
        let lies = self.status == StatusCode::NO_CONTENT && promises();
        !wishes.close && !lies && (self.version != Version::Http10 || wishes.keep)
    }
}

/// Whether there is no body whatever the fields say.
pub(super) fn has_no_body(status: StatusCode, method: &Method) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
