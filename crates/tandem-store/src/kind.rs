//! Kind and format version, as in `rollout/1`.

use crate::Error;

/// A kind taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: u32,
}

/// Reads `name/version`; anything else is a bug of the caller.
pub(crate) fn parse(kind: &str) -> Result<Format<'_>, Error> {
    let parts = kind.split_once('/').filter(|(name, _)| !name.is_empty());
    let format =
        parts.and_then(|(name, version)| version.parse().ok().map(|version| Format { name, version }));
    format.ok_or_else(|| {
        Error::malformed(format!("the kind {kind:?} is not a name and a version, such as app/1"))
    })
}

/// Whether a document stored as `stored` may be replaced by one written as `given`.
pub(crate) fn check_replacement(key: &str, stored: &str, given: &str) -> Result<(), Error> {
    let (old, new) = (parse(stored)?, parse(given)?);
    if old.name != new.name {
        return Err(Error::OtherKind {
            key: key.to_owned(),
            kind: stored.to_owned(),
            wanted: given.to_owned(),
        });
    }
    if old.version > new.version {
        return Err(Error::NewerFormat { key: key.to_owned(), kind: stored.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_and_only_within_a_kind() {
        assert!(check_replacement("k", "app/9", "app/10").is_ok());
        assert!(matches!(check_replacement("k", "app/10", "app/9"), Err(Error::NewerFormat { .. })));
        assert!(matches!(check_replacement("k", "app/1", "build/1"), Err(Error::OtherKind { .. })));
        for wrong in ["", "app", "/1", "app/", "app/x", "app/-1"] {
            assert!(parse(wrong).is_err(), "{wrong:?} was taken for a kind");
        }
    }
}
