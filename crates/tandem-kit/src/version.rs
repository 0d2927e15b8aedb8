//! Which Tandem this is, in one place: whoever writes or compares a version asks here.

use std::sync::LazyLock;

use crate::env;

/// Generation of the formats in a data folder. It grows with each change that the version before could not read: a kind of
/// document, a table of the store, a file of runner or balancer (`tests/tidy/formats.rs` of the testkit holds the list of a
/// generation). A folder of a greater one is refused, see [`crate::stamp`].
const GENERATION: u32 = 3;

/// A version, and the generation of data folders that it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Such as `0.1.0`.
    pub name: String,
    /// Generation of the formats.
    pub generation: u32,
}

impl Version {
    /// This program's own.
    #[must_use]
    pub fn current() -> &'static Self {
        static CURRENT: LazyLock<Version> = LazyLock::new(|| claimed().unwrap_or_else(Version::built));
        &CURRENT
    }

    fn built() -> Self {
        Self { name: env!("CARGO_PKG_VERSION").to_owned(), generation: GENERATION }
    }

    /// `0.2.0` or, with a generation, `0.2.0/2`.
    fn parse(text: &str) -> Option<Self> {
        let (name, generation) = match text.split_once('/') {
            Some((name, generation)) => (name, generation.parse().ok()?),
            None => (text, GENERATION),
        };
        (!name.is_empty()).then(|| Self { name: name.to_owned(), generation })
    }
}

/// What [`env::TANDEM_CLAIM_VERSION`] says, so that one debug build can be two versions in a test. Never in a release
/// build: nobody's installation may be talked into taking another one's folder.
fn claimed() -> Option<Version> {
    if !cfg!(debug_assertions) {
        return None;
    }
    Version::parse(&std::env::var(env::TANDEM_CLAIM_VERSION).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_a_version_with_or_without_a_generation() {
        let claim = |name: &str, generation| Some(Version { name: name.to_owned(), generation });
        assert_eq!(Version::parse("0.2.0"), claim("0.2.0", GENERATION));
        assert_eq!(Version::parse("0.2.0/7"), claim("0.2.0", 7));
        for wrong in ["", "/2", "0.2.0/", "0.2.0/x"] {
            assert_eq!(Version::parse(wrong), None, "{wrong:?}");
        }
    }
}
