//! Typed ids that print with their prefix and parse back from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an id of the kind asked for. Fits after "failed to read the name: ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What was to be read: "release number", "app name", …
    pub what: &'static str,
    /// The text as given.
    pub given: String,
    /// What such an id looks like.
    pub expected: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let article = if self.what.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        write!(f, "{:?} is not {article} {}: expected {}", self.given, self.what, self.expected)
    }
}

impl std::error::Error for ParseError {}

/// Declares a counter that prints as `prefix` and a decimal number; the bare number parses too.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one in order.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                let digits = text.strip_prefix($prefix).unwrap_or(text);
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                match digits.parse() {
                    Ok(number) if plain => Ok(Self(number)),
                    _ => Err(ParseError { what: $what, given: text.to_owned(), expected: $expected }),
                }
            }
        }

        text_serde!($name);
    };
}

/// Serializes a value as its printed text and reads it back through `FromStr`.
macro_rules! text_serde {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text: std::borrow::Cow<'de, str> = serde::Deserialize::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_serde;

/// Declares a name: lower-case letters, digits and hyphens, a letter first, at most `$max` characters.
/// Such names are safe in paths, host names, control groups and document keys.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                if is_name(text, $max) {
                    return Ok(Self(text.to_owned()));
                }
                Err(ParseError {
                    what: $what,
                    given: text.to_owned(),
                    expected: concat!(
                        "lower-case letters, digits and hyphens, a letter first, at most ",
                        stringify!($max),
                        " characters"
                    ),
                })
            }
        }

        text_serde!($name);
    };
}

fn is_name(text: &str, max: usize) -> bool {
    text.len() <= max
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

numbered!(
    /// A build of an app (`b7`), counted per app.
    BuildNumber, "b", "build number", "b and a number, such as b7"
);
numbered!(
    /// A release in one environment (`r12`), counted per environment.
    ReleaseNumber, "r", "release number", "r and a number, such as r12"
);
numbered!(
    /// A rollout in one environment (`ro3`), counted per environment.
    RolloutNumber, "ro", "rollout number", "ro and a number, such as ro3"
);
numbered!(
    /// One instance (`i42`), counted over the whole installation and never used again.
    InstanceId, "i", "instance id", "i and a number, such as i42"
);
numbered!(
    /// One run-to-completion command on a host (`j9`): a smoke check or a release phase.
    JobId, "j", "job id", "j and a number, such as j9"
);
numbered!(
    /// Version of the whole routing table; grows by one at each change.
    #[derive(Default)]
    Epoch, "e", "epoch", "e and a number, such as e5"
);

named!(
    /// Name of an app. At most 40 characters, so that `<app>.localhost` is a valid host label.
    AppName, "app name", 40
);
named!(
    /// Name of an environment: `production`, `staging`, …
    EnvironmentName, "environment name", 40
);
named!(
    /// Name of a host, a machine with a runner.
    HostName, "host name", 63
);
named!(
    /// Process type as in a Procfile: `web`, `worker`, `clock`, …
    ProcessType, "process type", 30
);
named!(
    /// Name of one balancer process.
    BalancerId, "balancer name", 63
);

impl EnvironmentName {
    /// `production`, the environment used when none is named.
    #[must_use]
    pub fn production() -> Self {
        Self("production".to_owned())
    }
}

impl ProcessType {
    /// `web`, the process type that the balancer routes to.
    #[must_use]
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// Whether instances of this type get a port and traffic.
    #[must_use]
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }
}

/// Revision of the store: grows by one at each transaction, over all documents together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Fencing number of a lease: a later holder has a greater one; effects carry it, stale ones are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

/// A BLAKE3 digest (32 bytes), printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The first 12 digits, enough for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0_u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse =
            || ParseError { what: "digest", given: text.to_owned(), expected: "64 hexadecimal digits" };
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(refuse());
        }
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (hex_value(pair[0]), hex_value(pair[1]));
            *byte = high.zip(low).map(|(h, l)| h << 4 | l).ok_or_else(refuse)?;
        }
        Ok(Self(bytes))
    }
}

text_serde!(Digest);

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_with_their_prefix_and_parse_with_or_without_it() {
        assert_eq!(ReleaseNumber(12).to_string(), "r12");
        assert_eq!("r12".parse(), Ok(ReleaseNumber(12)));
        assert_eq!("12".parse(), Ok(ReleaseNumber(12)));
        for wrong in ["", "r", "b12", "r-1", "r+1", "rr1", "r99999999999999999999"] {
            assert!(wrong.parse::<ReleaseNumber>().is_err(), "{wrong:?} was taken for a release");
        }
    }

    #[test]
    fn names_are_safe_in_paths_and_host_names() {
        assert!("guestbook".parse::<AppName>().is_ok());
        assert!("a-1".parse::<AppName>().is_ok());
        for wrong in ["", "A", "1a", "a_b", "a/b", "..", "a-", "-a", &"a".repeat(41)] {
            assert!(wrong.parse::<AppName>().is_err(), "{wrong:?} was taken for a name");
        }
    }

    #[test]
    fn refusals_are_english() {
        let app = "A".parse::<AppName>().expect_err("a capital letter").to_string();
        assert!(app.starts_with("\"A\" is not an app name: "), "{app}");
        let release = "A".parse::<ReleaseNumber>().expect_err("no number").to_string();
        assert!(release.starts_with("\"A\" is not a release number: "), "{release}");
    }

    #[test]
    fn digests_round_trip_through_hexadecimal() {
        let digest = Digest(std::array::from_fn(|i| (i * 7) as u8));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("xy".repeat(32).parse::<Digest>().is_err());
        assert!("AB".repeat(32).parse::<Digest>().is_err());
    }
}
