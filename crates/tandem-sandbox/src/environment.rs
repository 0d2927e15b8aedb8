//! The environment of a command.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Spec;
use crate::spec::HOME;

/// Where programs are looked for unless the environment says otherwise.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Names that bash, where it is `/bin/sh`, takes from nobody; assigning one would end the shell.
const TAKEN: [&str; 7] = ["BASHOPTS", "BASH_VERSINFO", "EUID", "GROUPS", "PPID", "SHELLOPTS", "UID"];

/// What the specification says, completed by what every program may expect.
pub(crate) fn complete(spec: &Spec) -> BTreeMap<String, String> {
    let user = spec.user.name.as_str();
    let expected = [
        ("PATH", PATH),
        ("HOME", HOME),
        ("USER", user),
        ("LOGNAME", user),
        ("SHELL", "/bin/sh"),
        ("LANG", "C.UTF-8"),
    ];
    let mut environment = spec.environment.clone();
    for (name, value) in expected {
        environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    environment
}

/// Whether a shell can pass the variable on.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Shell text that sets the whole environment.
pub(crate) fn shell_text(spec: &Spec) -> String {
    let mut text = String::new();
    for (name, value) in complete(spec).iter().filter(|(name, _)| !TAKEN.contains(&name.as_str())) {
        // Within single quotes nothing is special but the quote itself.
        let value = value.replace('\'', "'\\''");
        writeln!(text, "export {name}='{value}'").expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_shell_passes_on_are_taken() {
        assert!(is_name("DATABASE_URL") && is_name("_x1"));
        for wrong in ["", "1A", "A-B", "A.B", "A B", "Ä", "A=B", "A\nB", "A;reboot"] {
            assert!(!is_name(wrong), "{wrong:?} was taken for a name");
        }
    }
}
