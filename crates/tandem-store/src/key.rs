//! What a key may be, and sets of prefixes.

use crate::Error;

/// Longest key, in bytes.
pub const LONGEST_KEY: usize = 512;

/// Greater than every character a key may hold: ends the range of a prefix.
const LAST: char = char::MAX;

/// Refuses keys that are empty, too long or hold control characters.
///
/// # Errors
/// [`Error::Malformed`] with the reason.
pub fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > LONGEST_KEY {
        return Err(Error::malformed(format!("the key {key:?} is not 1 to {LONGEST_KEY} bytes long")));
    }
    if key.chars().any(|character| character.is_control() || character == LAST) {
        return Err(Error::malformed(format!("the key {key:?} has a character that keys do not have")));
    }
    Ok(())
}

/// Some prefixes, none of which covers another, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefixes(Vec<String>);

impl Prefixes {
    pub(crate) fn new(mut prefixes: Vec<String>) -> Self {
        prefixes.sort_unstable();
        let mut kept: Vec<String> = Vec::new();
        for prefix in prefixes {
            // Sorted, so only the one kept last can cover this one.
            if !kept.last().is_some_and(|last| prefix.starts_with(last.as_str())) {
                kept.push(prefix);
            }
        }
        Self(kept)
    }

    pub(crate) fn cover(&self, key: &str) -> bool {
        self.0.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// Begin (included) and end (excluded) of the keys of each prefix.
    pub(crate) fn ranges(&self) -> Vec<(String, String)> {
        self.0.iter().map(|prefix| (prefix.clone(), range_end(prefix))).collect()
    }
}

/// End (excluded) of the keys with this prefix, in the order of their bytes.
pub(crate) fn range_end(prefix: &str) -> String {
    format!("{prefix}{LAST}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_printable() {
        assert!(check_key("apps/guestbook/envs/production").is_ok());
        for wrong in ["", "a\0b", "a\n", "a\u{10ffff}", &"k".repeat(513)] {
            assert!(check_key(wrong).is_err(), "{wrong:?} was taken for a key");
        }
    }

    #[test]
    fn a_prefix_within_another_is_left_out() {
        let prefixes = Prefixes::new(["b/", "a/b", "a/", "a/b/c", "c"].map(String::from).to_vec());
        assert_eq!(prefixes, Prefixes(["a/", "b/", "c"].map(String::from).to_vec()));
        assert!(prefixes.cover("a/x") && prefixes.cover("c") && !prefixes.cover("a"));
        assert!(Prefixes::new(vec![String::new(), "a".to_owned()]).cover("anything"));
        assert!(!Prefixes::new(Vec::new()).cover("anything"));
    }

    #[test]
    fn a_range_holds_its_prefix_and_nothing_behind() {
        let end = range_end("a/");
        assert!("a/" < end.as_str() && "a/\u{fffd}z" < end.as_str() && end.as_str() < "a0");
    }
}
