//! What this machine lacks for Tandem, what that costs, and the line to type.
//!
//! Each fact is found where Tandem itself finds it: isolation and limits in `tandem-sandbox`, interpreters and uv in
//! `tandem-build`, ports in `tandem-runner`. So what is said here is what `tandem up` will do. Nothing is changed.

mod machine;
mod ports;
mod programs;
mod room;
mod server;

use serde::Serialize;

use crate::session::Session;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// As it should be.
    Good,
    /// Some do without it, or it cannot be told.
    Note,
    /// Something that apps need, or that keeps them apart, is not there.
    Lacking,
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The thing, in one or two words.
    pub(crate) name: &'static str,
    /// How it stands.
    pub(crate) state: State,
    /// What is there, or is not.
    pub(crate) says: String,
    /// What that costs; empty where it costs nothing.
    pub(crate) costs: String,
    /// The line to type, or what to do; empty where there is nothing to do.
    #[serde(rename = "type")]
    pub(crate) line: String,
}

impl Finding {
    fn new(name: &'static str, state: State, says: impl Into<String>) -> Self {
        Self { name, state, says: says.into(), costs: String::new(), line: String::new() }
    }

    /// As it should be.
    fn good(name: &'static str, says: impl Into<String>) -> Self {
        Self::new(name, State::Good, says)
    }

    /// Not there, or not known, and not missed by all.
    fn note(name: &'static str, says: impl Into<String>) -> Self {
        Self::new(name, State::Note, says)
    }

    /// Not there.
    fn lacking(name: &'static str, says: impl Into<String>) -> Self {
        Self::new(name, State::Lacking, says)
    }

    fn costs(self, costs: impl Into<String>) -> Self {
        Self { costs: costs.into(), ..self }
    }

    fn line(self, line: impl Into<String>) -> Self {
        Self { line: line.into(), ..self }
    }
}

/// Looks at everything, in the order in which people would.
pub(crate) async fn look(session: &Session) -> Vec<Finding> {
    let mut all = machine::look().await;
    all.extend(programs::look(session).await);
    all.extend(room::look(session));
    all.extend(ports::look());
    all.push(server::look(session).await);
    all
}

/// The end of a text that says what to type behind its last colon: `bubblewrap is missing: apt-get install bubblewrap`.
fn with_line(text: &str) -> (&str, &str) {
    let commands = ["apt-get ", "sudo "];
    match text.rsplit_once(": ") {
        Some((says, line)) if commands.iter().any(|command| line.starts_with(command)) => {
            (says.strip_suffix("; type").unwrap_or(says), line)
        }
        _ => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_type_is_taken_from_the_words_of_whoever_knows_it() {
        assert_eq!(
            with_line("setpriv is missing: apt-get install util-linux"),
            ("setpriv is missing", "apt-get install util-linux")
        );
        let root = "Tandem does not run as root; type: sudo tandem up";
        assert_eq!(with_line(root), ("Tandem does not run as root", "sudo tandem up"));
        assert_eq!(with_line("bwrap: no"), ("bwrap: no", ""));
    }

    #[test]
    fn a_finding_is_an_object_of_five_words() {
        let finding = Finding::lacking("git", "git is missing").costs("much").line("apt-get install git");
        assert_eq!(
            serde_json::to_string(&finding).expect("it is plain"),
            r#"{"name":"git","state":"lacking","says":"git is missing","costs":"much","type":"apt-get install git"}"#
        );
    }
}
