//! Keys of hosts: which were met for the first time, and how people compare them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// A host that was met for the first time, and a key that it showed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// As a `known_hosts` file names it.
    pub host: String,
    /// `ssh-ed25519 AAAA…`.
    pub key: String,
}

/// `SHA256:…` of a public key such as `ssh-ed25519 AAAA… comment`, as `ssh-keygen -l` and hosts' pages show it; none
/// where it is no key.
#[must_use]
pub fn fingerprint_of(key: &str) -> Option<String> {
    let blob = STANDARD.decode(key.split_whitespace().nth(1)?).ok()?;
    Some(format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob))))
}

/// What is in a `known_hosts` file now and was not before.
pub(super) fn new_pins(before: &[String], after: &str) -> Vec<Pin> {
    let lines = after.lines().filter(|line| !before.iter().any(|known| known == line));
    lines.filter_map(pin).collect()
}

fn pin(line: &str) -> Option<Pin> {
    let mut words = line.split_whitespace();
    let (host, kind, blob) = (words.next()?, words.next()?, words.next()?);
    fingerprint_of(&format!("{kind} {blob}"))?;
    Some(Pin { host: host.to_owned(), key: format!("{kind} {blob}") })
}

/// The text of the file.
pub(super) fn file_of(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `github.com`, whose page of fingerprints says the same.
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_fingerprint_is_what_hosts_show_on_their_pages() {
        let fingerprint = fingerprint_of(KEY);
        assert_eq!(fingerprint.as_deref(), Some("SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"));
        assert_eq!(fingerprint_of("ssh-ed25519"), None);
        assert_eq!(fingerprint_of("ssh-ed25519 !"), None);
    }

    #[test]
    fn only_hosts_that_were_not_known_are_pinned() {
        let before = vec![format!("git.example.org {KEY}")];
        let after = format!("{}\n[other.example.org]:2222 {KEY}\nnonsense\n", before[0]);
        let expected = Pin { host: "[other.example.org]:2222".to_owned(), key: KEY.to_owned() };
        assert_eq!(new_pins(&before, &after), [expected]);
        assert_eq!(file_of(&before), format!("git.example.org {KEY}\n"));
    }
}
