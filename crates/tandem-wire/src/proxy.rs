//! The PROXY protocol: what one proxy tells the next of a client, ahead of everything else
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! Who says it decides what is logged and what apps believe, so what is not exactly of its form is no header at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which form of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

/// The two ends of a client's connection. An IPv4 address within IPv6 is an IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyEnds {
    /// The client's.
    pub client: SocketAddr,
    /// The one that it connected to.
    pub to: SocketAddr,
}

/// How far a header has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyArrival {
    /// More is to come; all that came belongs to it.
    Partial,
    /// It is there.
    Whole {
        /// Its bytes.
        length: usize,
        /// What it says; none: the connection is of the proxy itself, or of a kind that has no addresses.
        ends: Option<ProxyEnds>,
    },
}

/// It is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the PROXY header is missing or malformed")]
pub struct BadProxyHeader;

/// Longest header. The form in bytes could have 64 KiB; what proxies add to the addresses has some hundred bytes.
pub const LONGEST_PROXY_HEADER: usize = 4096;
/// Longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// In front of the addresses of version 2: the signature, two bytes of what is said, two of the length.
const FIXED: usize = SIGNATURE.len() + 4;
/// Version 2, and that a connection is passed on.
const VERSION_AND_PROXY: u8 = 0x21;
/// The same, and that the connection is the proxy's own, to see whether somebody is there.
const VERSION_AND_LOCAL: u8 = 0x20;
const TCP_OVER_V4: u8 = 0x11;
const TCP_OVER_V6: u8 = 0x21;
/// Families and protocols of which there are no addresses that would say anything: none, datagrams, unix sockets.
const WITHOUT_ADDRESSES: [(u8, usize); 5] = [(0x00, 0), (0x12, 12), (0x22, 36), (0x31, 216), (0x32, 216)];

impl ProxyVersion {
    /// What is sent for a client's connection.
    pub fn header(self, ends: ProxyEnds) -> Vec<u8> {
        let ProxyEnds { client, to } = ends;
        // IPv4 clients of `[::]` have addresses within IPv6.
        let (mut source, mut target) = (client.ip().to_canonical(), to.ip().to_canonical());
        if source.is_ipv4() != target.is_ipv4() {
            (source, target) = (IpAddr::V6(within_v6(source)), IpAddr::V6(within_v6(target)));
        }
        match self {
            Self::V1 => {
                let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                format!("PROXY {family} {source} {target} {} {}\r\n", client.port(), to.port()).into_bytes()
            }
            Self::V2 => {
                let (family, addresses) = match (source, target) {
                    (IpAddr::V4(source), IpAddr::V4(target)) => {
                        (TCP_OVER_V4, [source.octets(), target.octets()].concat())
                    }
                    (source, target) => {
                        (TCP_OVER_V6, [within_v6(source).octets(), within_v6(target).octets()].concat())
                    }
                };
                let length = u16::try_from(addresses.len() + 4).expect("36 at most");
                let mut header = SIGNATURE.to_vec();
                header.extend([VERSION_AND_PROXY, family]);
                header.extend(length.to_be_bytes());
                header.extend(addresses);
                header.extend(client.port().to_be_bytes());
                header.extend(to.port().to_be_bytes());
                header
            }
        }
    }
}

fn within_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Reads the header that a connection begins with, in either form.
///
/// # Errors
/// It does not begin with one, or with one that is longer than [`LONGEST_PROXY_HEADER`].
pub fn read_proxy_header(bytes: &[u8]) -> Result<ProxyArrival, BadProxyHeader> {
    let begins = |mark: &[u8]| bytes.iter().zip(mark).all(|(byte, mark)| byte == mark);
    match bytes {
        _ if begins(SIGNATURE) => read_bytes(bytes),
        _ if begins(b"PROXY ") => read_line(bytes),
        _ => Err(BadProxyHeader),
    }
}

fn read_line(bytes: &[u8]) -> Result<ProxyArrival, BadProxyHeader> {
    let near = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = memchr::memchr(b'\n', near) else {
        return if near.len() < LONGEST_LINE { Ok(ProxyArrival::Partial) } else { Err(BadProxyHeader) };
    };
    let line = near[..end].strip_suffix(b"\r").ok_or(BadProxyHeader)?;
    let line = std::str::from_utf8(line).map_err(|_| BadProxyHeader)?;
    let said = line.strip_prefix("PROXY ").ok_or(BadProxyHeader)?;
    // What follows it is to be read over.
    let is_unknown = said == "UNKNOWN" || said.starts_with("UNKNOWN ");
    let ends = if is_unknown { None } else { Some(ends_of_line(said).ok_or(BadProxyHeader)?) };
    Ok(ProxyArrival::Whole { length: end + 1, ends })
}

fn ends_of_line(said: &str) -> Option<ProxyEnds> {
    let mut words = said.split(' ');
    let read: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => |word| word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |word| word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (source, target) = (read(words.next()?)?, read(words.next()?)?);
    let (from, to) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then(|| ends((source, from), (target, to)))
}

/// Digits, without a zero in front.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    is_plain.then(|| word.parse().ok()).flatten()
}

fn ends((source, from): (IpAddr, u16), (target, to): (IpAddr, u16)) -> ProxyEnds {
    ProxyEnds {
        client: SocketAddr::new(source.to_canonical(), from),
        to: SocketAddr::new(target.to_canonical(), to),
    }
}

fn read_bytes(bytes: &[u8]) -> Result<ProxyArrival, BadProxyHeader> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else { return Ok(ProxyArrival::Partial) };
    let (said, family) = (fixed[SIGNATURE.len()], fixed[SIGNATURE.len() + 1]);
    let length = usize::from(u16::from_be_bytes([fixed[FIXED - 2], fixed[FIXED - 1]]));
    if FIXED + length > LONGEST_PROXY_HEADER || !matches!(said, VERSION_AND_PROXY | VERSION_AND_LOCAL) {
        return Err(BadProxyHeader);
    }
    let Some(rest) = rest.get(..length) else { return Ok(ProxyArrival::Partial) };
    let whole = |ends| Ok(ProxyArrival::Whole { length: FIXED + length, ends });
    if said == VERSION_AND_LOCAL {
        // Whatever else it says is to be read over.
        return whole(None);
    }
    let (ends, more) = match family {
        TCP_OVER_V4 => ends_of_bytes(rest, |octets: [u8; 4]| octets.into())?,
        TCP_OVER_V6 => ends_of_bytes(rest, |octets: [u8; 16]| octets.into())?,
        other => {
            let known =
                WITHOUT_ADDRESSES.iter().find(|(family, _)| *family == other).ok_or(BadProxyHeader)?;
            (None, rest.get(known.1..).ok_or(BadProxyHeader)?)
        }
    };
    if are_additions(more) { whole(ends) } else { Err(BadProxyHeader) }
}

/// Two addresses of so many bytes, two ports, and what is behind them.
fn ends_of_bytes<const BYTES: usize>(
    rest: &[u8],
    ip: fn([u8; BYTES]) -> IpAddr,
) -> Result<(Option<ProxyEnds>, &[u8]), BadProxyHeader> {
    let (source, rest) = rest.split_first_chunk().ok_or(BadProxyHeader)?;
    let (target, rest) = rest.split_first_chunk().ok_or(BadProxyHeader)?;
    let (from, rest) = rest.split_first_chunk().ok_or(BadProxyHeader)?;
    let (to, rest) = rest.split_first_chunk().ok_or(BadProxyHeader)?;
    let ends = ends((ip(*source), u16::from_be_bytes(*from)), (ip(*target), u16::from_be_bytes(*to)));
    Ok((Some(ends), rest))
}

/// What proxies add (a type, a length, a value), each of which ends where it should. What they say is nobody's business here.
fn are_additions(mut bytes: &[u8]) -> bool {
    while let Some(([_, high, low], rest)) = bytes.split_first_chunk() {
        let Some(rest) = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) else { return false };
        bytes = rest;
    }
    bytes.is_empty()
}

#[cfg(test)]
mod tests;
