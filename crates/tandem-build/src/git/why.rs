//! What git and ssh mean by what they print. They say it for people only, in English where the locale is C.

/// Why a command that spoke with a server failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// The host's key is another one; its fingerprint, where it was told.
    HostKey(Option<String>),
    /// Who asks is not known there, or there is nothing of that name.
    Denied,
    /// Nobody answered.
    Unreachable,
    /// There is no such reference, or no longer.
    RefMissing,
    /// The server does not give a commit that no reference leads to.
    Unadvertised,
    /// The server cannot give less than everything.
    NotShallow,
    /// The limit of one file was met.
    TooLarge,
    /// Something else.
    Unknown,
}

/// What stands for what, in the order in which it is looked for: ssh's own reasons first, since git only says behind them
/// that it could not read.
const WORDS: &[(&str, Why)] = &[
    ("died of signal 25", Why::TooLarge),
    ("File too large", Why::TooLarge),
    ("File size limit exceeded", Why::TooLarge),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Why::HostKey(None)),
    ("Host key verification failed", Why::HostKey(None)),
    ("does not support shallow", Why::NotShallow),
    ("couldn't find remote ref", Why::RefMissing),
    ("not our ref", Why::Unadvertised),
    ("unadvertised object", Why::Unadvertised),
    ("Could not resolve host", Why::Unreachable),
    ("Name or service not known", Why::Unreachable),
    ("Connection refused", Why::Unreachable),
    ("Connection timed out", Why::Unreachable),
    ("Connection reset", Why::Unreachable),
    ("Operation timed out", Why::Unreachable),
    ("Failed to connect", Why::Unreachable),
    ("Couldn't connect", Why::Unreachable),
    ("No route to host", Why::Unreachable),
    ("Network is unreachable", Why::Unreachable),
    ("certificate", Why::Unreachable),
    ("Permission denied", Why::Denied),
    ("Authentication failed", Why::Denied),
    ("could not read Username", Why::Denied),
    ("could not read Password", Why::Denied),
    ("requested URL returned error: 40", Why::Denied),
    ("epository not found", Why::Denied),
    ("does not appear to be a git repository", Why::Denied),
    ("' not found", Why::Denied),
    ("project you were looking for could not be found", Why::Denied),
    // Of a host that is busy, or that lets nobody in from here: nothing that a key would change.
    ("kex_exchange_identification", Why::Unreachable),
    ("ssh_exchange_identification", Why::Unreachable),
    ("Connection closed by", Why::Unreachable),
    ("closed by remote host", Why::Unreachable),
    ("Could not read from remote repository", Why::Denied),
    ("unable to access", Why::Unreachable),
];

/// Reads the last lines of a command that failed.
pub(super) fn why(lines: &[String]) -> Why {
    let found = WORDS.iter().find(|(words, _)| lines.iter().any(|line| line.contains(words)));
    match found.map(|(_, why)| why.clone()) {
        Some(Why::HostKey(_)) => Why::HostKey(fingerprint(lines)),
        Some(why) => why,
        None => Why::Unknown,
    }
}

/// ssh prints the fingerprint of the new key on a line of its own: `SHA256:….`
fn fingerprint(lines: &[String]) -> Option<String> {
    let line = lines.iter().find(|line| line.trim_start().starts_with("SHA256:"))?;
    Some(line.trim().trim_end_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Why {
        why(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_programs_print_is_understood() {
        let ssh = "\nfatal: Could not read from remote repository.\n";
        for (text, expected) in [
            (format!("git@h: Permission denied (publickey).{ssh}"), Why::Denied),
            (format!("ssh: connect to host h port 22: Connection refused{ssh}"), Why::Unreachable),
            (format!("kex_exchange_identification: Connection closed by remote host{ssh}"), Why::Unreachable),
            (format!("Connection closed by 192.0.2.1 port 22{ssh}"), Why::Unreachable),
            (
                format!("git@h: Permission denied (publickey).\nConnection to h closed by remote host.{ssh}"),
                Why::Denied,
            ),
            (format!("ssh: Could not resolve hostname h: Name or service not known{ssh}"), Why::Denied),
            (
                "fatal: unable to access 'https://h/x/': Could not resolve host: h".to_owned(),
                Why::Unreachable,
            ),
            (
                "fatal: unable to access 'https://h/x/': server certificate verification failed.".to_owned(),
                Why::Unreachable,
            ),
            (
                "fatal: could not read Username for 'https://h': terminal prompts disabled".to_owned(),
                Why::Denied,
            ),
            ("fatal: repository 'https://h/x/' not found".to_owned(), Why::Denied),
            ("fatal: couldn't find remote ref refs/heads/x".to_owned(), Why::RefMissing),
            ("fatal: remote error: upload-pack: not our ref aaaa".to_owned(), Why::Unadvertised),
            ("error: index-pack died of signal 25\nfatal: index-pack failed".to_owned(), Why::TooLarge),
            ("fatal: dumb http transport does not support shallow capabilities".to_owned(), Why::NotShallow),
            ("something else".to_owned(), Why::Unknown),
        ] {
            let expected = if text.contains("resolve hostname") { Why::Unreachable } else { expected };
            assert_eq!(of(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_changed_key_comes_with_its_fingerprint() {
        let text = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\n\
            Host key verification failed.\nfatal: Could not read from remote repository.";
        assert_eq!(of(text), Why::HostKey(Some("SHA256:abc".to_owned())));
    }
}
