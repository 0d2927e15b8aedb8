//! The fields of a head, each told apart once by what it means to a proxy.
//!
//! Hop-by-hop fields belong to one connection (RFC 9110, 7.6.1). Forwarding fields are the balancer's own to set. WSGI
//! and CGI turn `-` and `_` into the same letter, so a field that differs from one of these only there is taken for it.

use super::HeadError;

/// What a field is to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Passed on as it is.
    Plain,
    /// `Host`.
    Host,
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Expect`.
    Expect,
    /// `Upgrade`.
    Upgrade,
    /// `X-Request-Id`.
    RequestId,
    /// `Accept`.
    Accept,
    /// `Date`.
    Date,
    /// Belongs to one connection, by its name or because `Connection` names it.
    HopByHop,
    /// Says where a request came from; set by the balancer alone.
    Forwarding,
    /// Spelled with `_` like one of the others.
    Disguised,
}

impl Kind {
    /// Whether a field of this kind is passed on as it is. `Content-Length` is not: it is written anew.
    pub fn is_passed_on(self) -> bool {
        matches!(self, Self::Plain | Self::Accept | Self::Date)
    }

    /// Whether a field of this kind of an answer is passed on as it is.
    pub fn is_passed_back(self) -> bool {
        self.is_passed_on() || matches!(self, Self::Host | Self::Expect | Self::Forwarding | Self::Disguised)
    }

    /// What a field with this name is.
    pub(super) fn of(name: &[u8]) -> Self {
        let kind = Self::of_plain(name);
        if kind != Self::Plain || !name.contains(&b'_') {
            return kind;
        }
        let plain: Vec<u8> = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
        let means_something = !matches!(Self::of_plain(&plain), Self::Plain | Self::Accept | Self::Date);
        if means_something || DISGUISED.iter().any(|known| plain.eq_ignore_ascii_case(known)) {
            Self::Disguised
        } else {
            Self::Plain
        }
    }

    fn of_plain(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let among = |known: &[(&str, Self)]| {
            known.iter().find(|(known, _)| is(known)).map_or(Self::Plain, |(_, kind)| *kind)
        };
        if name.len() > FORWARDED.len() && name[..FORWARDED.len()].eq_ignore_ascii_case(FORWARDED) {
            return Self::Forwarding;
        }
        match name.len() {
            2 => among(&[("te", Self::HopByHop)]),
            4 => among(&[("host", Self::Host), ("date", Self::Date)]),
            // No field at all; CGI turns it into a setting of the programs that an app starts.
            5 => among(&[("proxy", Self::HopByHop)]),
            6 => among(&[("accept", Self::Accept), ("expect", Self::Expect)]),
            7 => among(&[("upgrade", Self::Upgrade), ("trailer", Self::HopByHop)]),
            9 => among(&[("forwarded", Self::Forwarding), ("x-real-ip", Self::Forwarding)]),
            10 => among(&[("connection", Self::Connection), ("keep-alive", Self::HopByHop)]),
            12 => among(&[("x-request-id", Self::RequestId)]),
            14 => among(&[("content-length", Self::ContentLength)]),
            16 => among(&[("proxy-connection", Self::HopByHop)]),
            17 => among(&[("transfer-encoding", Self::TransferEncoding)]),
            18 => among(&[("proxy-authenticate", Self::HopByHop)]),
            19 => among(&[("proxy-authorization", Self::HopByHop)]),
            _ => Self::Plain,
        }
    }
}

/// Fields that mean something to the servers of apps where they are spelled with `_`: as `Content-Type`, or as what only a proxy
/// may say (gunicorn takes `SCRIPT_NAME` off the path).
const DISGUISED: [&[u8]; 5] = [b"content-type", b"script-name", b"path-info", b"remote-user", b"remote-addr"];

/// Common prefix of forwarding fields.
const FORWARDED: &[u8] = b"x-forwarded-";

/// Where something lies in the bytes of its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part`, which was read from `bytes`, lies in them.
    pub(super) fn of(part: &[u8], bytes: &[u8]) -> Self {
        let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
        let index = |place: usize| u32::try_from(place).expect("a head is short");
        Self { start: index(start), end: index(start + part.len()) }
    }

    /// What lies there.
    pub(super) fn get(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

#[derive(Debug, Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
    kind: Kind,
}

/// What `Connection` says besides names of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// The connection is to end after this message.
    pub close: bool,
    /// It is to be kept, also in HTTP/1.0.
    pub keep: bool,
    /// The protocol in `Upgrade` is meant.
    pub upgrade: bool,
}

/// The fields of a head, over its bytes.
#[derive(Debug)]
pub struct Fields {
    bytes: Box<[u8]>,
    list: Vec<Field>,
    wishes: Wishes,
}

/// A kind that must not come twice did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Several;

impl Fields {
    /// The fields that were read from these bytes.
    pub(super) fn new(bytes: &[u8], parsed: &[httparse::Header<'_>]) -> Result<Self, HeadError> {
        let field = |header: &httparse::Header<'_>| {
            let (name, value) = (header.name.as_bytes(), header.value);
            // Nothing is left of an empty value that could be pointed to.
            let value = if value.is_empty() { &name[name.len()..] } else { value };
            Field { name: Span::of(name, bytes), value: Span::of(value, bytes), kind: Kind::of(name) }
        };
        let list = parsed.iter().map(field).collect();
        let mut fields = Self { bytes: bytes.into(), list, wishes: Wishes::default() };
        fields.heed_connection();
        Ok(fields)
    }

    /// All bytes of the head.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What `Connection` says.
    pub fn wishes(&self) -> Wishes {
        self.wishes
    }

    /// Every field, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], Kind)> {
        self.list.iter().map(|field| (field.name.get(&self.bytes), field.value.get(&self.bytes), field.kind))
    }

    /// One more, behind all others, which is passed on as it is. Both are valid in a field.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        let mut put = |part: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(part);
            let index = |place: usize| u32::try_from(place).expect("a head is short");
            Span { start: index(start), end: index(bytes.len()) }
        };
        let (name, value) = (put(name), put(value));
        self.bytes = bytes.into();
        self.list.push(Field { name, value, kind: Kind::Plain });
    }

    /// The values of a kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.list.iter().filter(move |field| field.kind == kind).map(|field| field.value.get(&self.bytes))
    }

    /// The value of a kind that must not come twice.
    pub fn only(&self, kind: Kind) -> Result<Option<&[u8]>, Several> {
        Ok(self.only_span(kind)?.map(|value| value.get(&self.bytes)))
    }

    /// Where that value lies.
    pub(super) fn only_span(&self, kind: Kind) -> Result<Option<Span>, Several> {
        let mut all = self.list.iter().filter(|field| field.kind == kind);
        match (all.next(), all.next()) {
            (field, None) => Ok(field.map(|field| field.value)),
            _ => Err(Several),
        }
    }

    /// Reads `Connection`: its wishes, and fields that it names, which belong to this connection then. Fields that frame a
    /// message or say where it goes stay what they are: naming them is an attack, not a wish.
    fn heed_connection(&mut self) {
        let Self { bytes, list, wishes } = self;
        for place in 0..list.len() {
            if list[place].kind != Kind::Connection {
                continue;
            }
            let tokens = list[place].value.get(bytes).split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            for token in tokens.filter(|token| !token.is_empty()) {
                let is = |known: &str| token.eq_ignore_ascii_case(known.as_bytes());
                wishes.close |= is("close");
                wishes.keep |= is("keep-alive");
                wishes.upgrade |= is("upgrade");
                let named = |field: &&mut Field| field.name.get(bytes).eq_ignore_ascii_case(token);
                for field in list.iter_mut().filter(named) {
                    if field.kind.is_passed_on() && !is("content-type") {
                        field.kind = Kind::HopByHop;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_disguise() {
        for (name, kind) in [
            ("HOST", Kind::Host),
            ("content-Length", Kind::ContentLength),
            ("X-Forwarded-Anything", Kind::Forwarding),
            ("x-forwarded-", Kind::Plain),
            ("X-Real-IP", Kind::Forwarding),
            ("te", Kind::HopByHop),
            ("Proxy", Kind::HopByHop),
            ("Proxy-Authorization", Kind::HopByHop),
            ("x_forwarded_for", Kind::Disguised),
            ("content_length", Kind::Disguised),
            ("Content_Type", Kind::Disguised),
            ("transfer_encoding", Kind::Disguised),
            ("my_own", Kind::Plain),
            ("content-type", Kind::Plain),
        ] {
            assert_eq!(Kind::of(name.as_bytes()), kind, "{name}");
        }
    }
}
