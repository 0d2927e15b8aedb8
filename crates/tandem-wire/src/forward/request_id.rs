//! The id that ties a request's traces together: the client's own where it is sane, else a new one.

use crate::{Fields, Kind};

/// Longest id passed on; a longer one is replaced, so that logs stay readable.
const LONGEST: usize = 128;

/// The id of a request: letters, digits and a little punctuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The id of a request with these fields. `random` gives 64 bits at a time; ids need to differ, not to be secret.
    pub fn of(fields: &Fields, random: impl FnMut() -> u64) -> Self {
        match fields.only(Kind::RequestId) {
            Ok(Some(id)) => Self::sane(id).unwrap_or_else(|| Self::new(random)),
            _ => Self::new(random),
        }
    }

    /// A new one.
    pub fn new(mut random: impl FnMut() -> u64) -> Self {
        let mut text = String::with_capacity(32);
        let bits = (u128::from(random()) << 64) | u128::from(random());
        for place in 0..32 {
            text.push(char::from(b"0123456789abcdef"[(bits >> (place * 4)) as usize & 15]));
        }
        Self(text.into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Letters, digits and the punctuation that ids are made of; nothing a log or a shell would stumble over.
    fn sane(id: &[u8]) -> Option<Self> {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
        let is_sane = !id.is_empty() && id.len() <= LONGEST && id.iter().all(fits);
        is_sane.then(|| std::str::from_utf8(id).ok()).flatten().map(|id| Self(id.into()))
    }
}
