//! A network by its address and the bits that all of it have in common.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::ids::text_serde;

/// One address, or all that begin with the same bits; written `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkError {
    /// There is no address in it, or no number of bits.
    Malformed,
    /// Whoever wrote `192.0.2.7/24` may have meant either the address or its network.
    Behind {
        /// Those that all have in common.
        bits: u8,
        /// With those alone.
        meant: Network,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                f.write_str("it is no network, such as 10.0.0.0/8, 2001:db8::/32 or a single address")
            }
            Self::Behind { bits, meant } => {
                write!(f, "it has more than the first {bits} bits; did you mean {meant}?")
            }
        }
    }
}

impl std::error::Error for NetworkError {}

impl Network {
    /// Whether an address is in it. An IPv4 address is one however it is written.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && first_bits(address, self.bits) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, bits } = self;
        if *bits == width(*address) { write!(f, "{address}") } else { write!(f, "{address}/{bits}") }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let all = width(address);
        let bits = match bits {
            None => all,
            // A sign parses as part of a number.
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= all).ok_or(NetworkError::Malformed)?
            }
            Some(_) => return Err(NetworkError::Malformed),
        };
        let meant = Self { address: first_bits(address, bits), bits };
        if meant.address == address { Ok(meant) } else { Err(NetworkError::Behind { bits, meant }) }
    }
}

text_serde!(Network);

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with all but its first bits cleared.
fn first_bits(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_they_print() {
        for text in ["192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for (whole, printed) in [("192.0.2.7/32", "192.0.2.7"), ("::1/128", "::1")] {
            assert_eq!(whole.parse::<Network>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn a_network_is_kept_as_it_prints() {
        let kept = serde_json::to_string(&"192.0.2.7/32".parse::<Network>().unwrap()).unwrap();
        assert_eq!(kept, "\"192.0.2.7\"");
        assert_eq!(serde_json::from_str::<Network>(&kept).unwrap().to_string(), "192.0.2.7");
        assert!(serde_json::from_str::<Network>("\"192.0.2.7/24\"").is_err());
    }

    #[test]
    fn a_network_has_what_begins_alike() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
            ("192.0.2.4/30", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "::1", "10.0.0.1"),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_told_with_what_was_meant() {
        for wrong in [
            "",
            "10",
            "1.2.3",
            "localhost",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "::/129",
            "a/8",
            "10.0.0.0/8/8",
            "10.0.0.0/256",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError::Malformed), "{wrong}");
        }
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert_eq!(error.to_string(), "it has more than the first 8 bits; did you mean 10.0.0.0/8?");
    }
}
