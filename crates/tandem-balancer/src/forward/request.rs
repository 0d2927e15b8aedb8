//! Makes a client's request into the one that an instance gets.

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri, Version};

use super::names;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a request came from and what the balancer calls it.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The other end of the client's connection, as `X-Forwarded-For` carries it.
    pub address: HeaderValue,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host asked for.
    pub host: HeaderValue,
    /// The request's id.
    pub id: HeaderValue,
}

impl Origin {
    /// An address as `X-Forwarded-For` carries it; made once per connection.
    pub(crate) fn address_value(address: IpAddr) -> HeaderValue {
        // An IPv4 client of a dual-stack socket is an IPv4 client.
        let text = address.to_canonical().to_string();
        HeaderValue::from_str(&text).expect("an IP address is printable ASCII")
    }
}

/// Why a request is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// Tunnels to anywhere are not this proxy's business.
    #[error("CONNECT is not supported")]
    Connect,
    /// Only `chunked` is passed on: another coding would be lost on the way.
    #[error("the request's transfer coding is not supported")]
    TransferCoding,
    /// A host alone is for CONNECT, `*` is for OPTIONS (RFC 9112, 3.2); no app expects them, or `ftp:`, elsewhere.
    #[error("the request's target is neither a path nor an address with http:// or https://")]
    Target,
}

/// How a request's body comes, for [`prepare_request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// With its length, or not at all.
    Plain,
    /// In chunks.
    Chunked,
}

/// Whether a request's message may be passed on at all. To be asked before anything else is.
///
/// # Errors
/// See [`RequestError`].
pub(crate) fn check_request(parts: &Parts) -> Result<Framing, RequestError> {
    if parts.method == Method::CONNECT {
        return Err(RequestError::Connect);
    }
    if !is_target(&parts.uri, &parts.method) {
        return Err(RequestError::Target);
    }
    framing(parts)
}

fn is_target(uri: &Uri, method: &Method) -> bool {
    match (uri.scheme_str(), uri.authority()) {
        (None, None) => uri.path().starts_with('/') || (uri.path() == "*" && method == Method::OPTIONS),
        (Some("http" | "https"), Some(_)) => true,
        _ => false,
    }
}

fn framing(parts: &Parts) -> Result<Framing, RequestError> {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(Framing::Plain),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        _ => Err(RequestError::TransferCoding),
    }
}

/// Makes the request ready for an instance: fields that end here taken out, the balancer's own put in, target in
/// origin form, HTTP/1.1. A chunked body stays chunked.
pub(crate) fn prepare_request(parts: &mut Parts, framing: Framing, origin: &Origin) {
    names::remove(&mut parts.headers, names::ends_here);
    let headers = &mut parts.headers;
    if framing == Framing::Chunked {
        // Chunks go before a length (RFC 9112, 6.3); hyper says so too, and closes after such a request.
        headers.remove(CONTENT_LENGTH);
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    headers.insert(FORWARDED_FOR, origin.address.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(origin.scheme));
    headers.insert(FORWARDED_HOST, origin.host.clone());
    headers.insert(REQUEST_ID, origin.id.clone());
    headers.insert(HOST, origin.host.clone());
    parts.uri = origin_form(std::mem::take(&mut parts.uri));
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
}

/// `http://host/path?query` → `/path?query`; what has that form already stays as it is. No path becomes `/` (RFC 9112,
/// 3.2.1), also where a fragment, which has no place in a request, hid that there is none.
fn origin_form(uri: Uri) -> Uri {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return uri;
    }
    let target = uri.into_parts().path_and_query;
    // Written out it has its slash, which the parts of an absolute target may lack.
    let written = target.and_then(|target| PathAndQuery::try_from(target.to_string()).ok());
    Uri::from(written.unwrap_or_else(|| PathAndQuery::from_static("/")))
}
