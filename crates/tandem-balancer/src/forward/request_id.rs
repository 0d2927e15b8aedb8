//! The id that ties a request's traces together: the client's own where it is sane, else a new one.

use http::{HeaderMap, HeaderValue};

use super::request::REQUEST_ID;

/// Longest id passed on; a longer one is replaced, so that logs stay readable.
const LONGEST: usize = 128;

/// The id of a request. `random` gives 64 bits at a time; ids need to differ, not to be secret.
pub(crate) fn request_id(headers: &HeaderMap, mut random: impl FnMut() -> u64) -> HeaderValue {
    let mut sent = headers.get_all(REQUEST_ID).iter();
    if let (Some(id), None) = (sent.next(), sent.next())
        && is_sane(id.as_bytes())
    {
        return id.clone();
    }
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0_u8; 32];
    let bits = (u128::from(random()) << 64) | u128::from(random());
    for (place, digit) in text.iter_mut().enumerate() {
        *digit = HEX[(bits >> (place * 4)) as usize & 15];
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits are valid in a header")
}

/// Letters, digits and the punctuation that ids are made of; nothing a log or a shell would stumble over.
fn is_sane(id: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
    !id.is_empty() && id.len() <= LONGEST && id.iter().all(fits)
}
