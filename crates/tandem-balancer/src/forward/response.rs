//! Makes an instance's answer into the one that the client gets.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use super::names;
use super::request::REQUEST_ID;

/// Why an answer is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseError {
    /// Nobody asked for another protocol.
    #[error("the instance switched protocols without being asked")]
    UnaskedSwitch,
    /// Only `chunked` is passed on: another coding would be lost on the way.
    #[error("the instance answered with an unsupported transfer coding")]
    TransferCoding,
}

/// Makes the answer ready for the client. The body's length is taken from `length` (none: until the body's end),
/// never from a header that might say something else; answers without a body keep what they say of it.
pub(crate) fn prepare_response(
    parts: &mut Parts,
    id: &HeaderValue,
    length: Option<u64>,
) -> Result<(), ResponseError> {
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ResponseError::UnaskedSwitch);
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        _ => return Err(ResponseError::TransferCoding),
    };
    names::remove(&mut parts.headers, names::is_hop_by_hop);
    settle_length(parts, if chunked { None } else { length });
    parts.headers.insert(REQUEST_ID, id.clone());
    parts.version = Version::HTTP_11;
    Ok(())
}

/// Puts the request's id on an answer of the balancer's own.
pub(crate) fn stamp(headers: &mut HeaderMap, id: &HeaderValue) {
    headers.insert(REQUEST_ID, id.clone());
}

/// One `Content-Length` at most, and the true one.
fn settle_length(parts: &mut Parts, length: Option<u64>) {
    let mut values = parts.headers.get_all(CONTENT_LENGTH).iter();
    let plain = values.next().is_some_and(|value| value.as_bytes().iter().all(u8::is_ascii_digit));
    let single = plain && values.next().is_none();
    match length {
        _ if matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => {
            parts.headers.remove(CONTENT_LENGTH);
        }
        _ if length.is_some() && single => {}
        // No body to be seen: an empty one, or the answer to HEAD, whose header tells of the body GET would have.
        None | Some(0) => drop(parts.headers.remove(CONTENT_LENGTH)),
        Some(length) => drop(parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length))),
    }
}
