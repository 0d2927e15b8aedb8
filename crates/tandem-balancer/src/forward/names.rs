//! Which header fields end at the balancer.
//!
//! Hop-by-hop fields belong to one connection (RFC 9110, 7.6.1). Forwarding fields are the balancer's own to set. WSGI
//! and CGI turn `-` and `_` into the same letter, so a field that differs from one of these only there is taken for it.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName};

/// Fields of one connection that are no constants of the `http` crate.
const HOP_BY_HOP: [&str; 2] = ["keep-alive", "proxy-connection"];
/// Forwarding fields without the common prefix.
const FORWARDING: [&str; 3] = ["forwarded", "x-real-ip", "x-request-id"];
/// Common prefix of the others.
const FORWARDED_PREFIX: &str = "x-forwarded-";
/// Fields that decide where a message ends or where it goes: a `_` must not make a second one of them.
const FRAMING: [&str; 4] = ["content-length", "content-type", "host", "transfer-encoding"];

/// Whether the field belongs to one connection only.
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::TE
        || *name == header::TRAILER
        || *name == header::UPGRADE
        || *name == header::PROXY_AUTHENTICATE
        || *name == header::PROXY_AUTHORIZATION
        || HOP_BY_HOP.contains(&name.as_str())
}

/// Whether a request's field ends at the balancer. `Expect` does: the balancer itself says `100 Continue`, at the
/// moment when the instance begins to read the body.
pub(super) fn ends_here(name: &HeaderName) -> bool {
    if is_hop_by_hop(name) || *name == header::EXPECT {
        return true;
    }
    let text = name.as_str();
    if text.contains('_') {
        let plain: Cow<'_, str> = text.replace('_', "-").into();
        return is_forwarding(&plain)
            || FRAMING.contains(&&*plain)
            || HeaderName::from_bytes(plain.as_bytes()).is_ok_and(|name| is_hop_by_hop(&name));
    }
    is_forwarding(text)
}

fn is_forwarding(name: &str) -> bool {
    name.starts_with(FORWARDED_PREFIX) || FORWARDING.contains(&name)
}

/// Removes every field that `ends` says ends here, and those that `Connection` names. Fields that frame a message
/// or say where it goes stay whatever `Connection` says: naming them is an attack, not a wish.
pub(super) fn remove(headers: &mut HeaderMap, ends: impl Fn(&HeaderName) -> bool) {
    let mut gone: Vec<HeaderName> = headers.keys().filter(|name| ends(name)).cloned().collect();
    for value in headers.get_all(header::CONNECTION) {
        let Ok(text) = value.to_str() else { continue };
        for token in text.split(',').map(str::trim) {
            if FRAMING.iter().any(|framing| token.eq_ignore_ascii_case(framing)) {
                continue;
            }
            gone.extend(HeaderName::from_bytes(token.as_bytes()).ok());
        }
    }
    for name in gone {
        headers.remove(name);
    }
}
