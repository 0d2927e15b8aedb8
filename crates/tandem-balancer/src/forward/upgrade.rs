//! Requests that want to leave HTTP (websockets) and the answer that lets them.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Version, response};

use super::names;
use super::request::REQUEST_ID;

/// The protocol a request wants to switch to, where the balancer will carry that through: asked for in the full form,
/// without a body, and not HTTP/2, whose frames would pass every header rule by.
pub(crate) fn upgrade_wanted(parts: &Parts) -> Option<HeaderValue> {
    let headers = &parts.headers;
    let mut protocols = headers.get_all(UPGRADE).iter();
    let (protocol, None) = (protocols.next()?, protocols.next()) else { return None };
    let asked = parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && names_upgrade(headers)
        && !headers.contains_key(TRANSFER_ENCODING)
        && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
    let plain = !protocol.as_bytes().to_ascii_lowercase().windows(2).any(|pair| pair == b"h2");
    (asked && plain).then(|| protocol.clone())
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// Makes a `101` ready for the client: the two fields that make the switch stay, everything of one connection goes.
pub(crate) fn prepare_switch(parts: &mut response::Parts, id: &HeaderValue) {
    debug_assert_eq!(parts.status, StatusCode::SWITCHING_PROTOCOLS);
    let protocol = parts.headers.get(UPGRADE).cloned();
    names::remove(&mut parts.headers, names::is_hop_by_hop);
    parts.headers.remove(CONTENT_LENGTH);
    if let Some(protocol) = protocol {
        parts.headers.insert(UPGRADE, protocol);
    }
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(REQUEST_ID, id.clone());
    parts.version = Version::HTTP_11;
}
