//! The text given to the shell.
//!
//! `sh -c 'gunicorn …'` leaves a shell between Tandem and gunicorn in most systems (Debian's dash does): one process and
//! its memory more for each instance, which also has to be told apart from the app when it is stopped. Where the command is
//! plainly one program, the shell is told to become it.

use std::borrow::Cow;

/// Characters that can make more than one command of a text, or a redirection, or a comment.
const SPECIAL: &[char] = &[';', '|', '&', '<', '>', '(', ')', '{', '}', '`', '#', '!', '\n', '\\'];

/// First words that are not programs, or not only.
const BUILT_IN: &[&str] = &[
    ".", ":", "[", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done", "echo", "elif",
    "else", "esac", "eval", "exec", "exit", "export", "false", "fg", "fi", "for", "function", "getopts",
    "hash", "if", "jobs", "kill", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift",
    "source", "test", "then", "time", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset",
    "until", "wait", "while",
];

/// The command, with `exec` in front where that changes nothing but the number of processes.
pub(crate) fn shell_text(command: &str) -> Cow<'_, str> {
    let first = command.split_ascii_whitespace().next().unwrap_or_default();
    let is_program = !first.is_empty()
        && !BUILT_IN.contains(&first)
        && first.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/+-".contains(&b));
    if is_program && !command.contains(SPECIAL) {
        return Cow::Owned(format!("exec {command}"));
    }
    Cow::Borrowed(command)
}

#[cfg(test)]
mod tests {
    use super::shell_text;

    #[test]
    fn one_program_replaces_the_shell() {
        for command in [
            "gunicorn guestbook.wsgi --bind 127.0.0.1:$PORT",
            "  ./run 'a b' \"$X\"",
            "python3 -m http.server",
        ] {
            assert_eq!(shell_text(command), format!("exec {command}"));
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for command in [
            "a; b",
            "a && b",
            "a | b",
            "a > b",
            "A=1 b",
            "cd x",
            "exec a",
            "(a)",
            "a\nb",
            "a `b`",
            "a $(b)",
            "if a",
            "",
            "   ",
            "\"a b\" c",
            "$CMD",
            "a 'b;c'",
            "trap x TERM",
            "a \\",
            "! a",
            "~/a",
        ] {
            assert_eq!(shell_text(command), command);
        }
    }
}
