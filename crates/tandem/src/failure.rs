//! Why a command ended without doing what it was asked, in the form people get it: `error:`, what more is known,
//! and a `hint:` with the next command to type.
//!
//! Everything that fails becomes a [`Failure`] at the latest here: problems of the API keep their words, errors of
//! other crates are printed as a whole chain.

use std::error::Error;
use std::io;

use tandem_kit::api;
use tandem_types::problem::Problem;

use crate::exit::Exit;
use crate::output::Style;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be told on standard error.
    Told(Box<Told>),
    /// Everything was told already; only the exit code is left.
    Silent(Exit),
    /// Whoever read standard output has closed it: they have what they wanted (`tandem logs | head`).
    ReaderGone,
}

/// The three parts of an error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// What failed and why, lower case, no full stop.
    pub(crate) title: String,
    /// More lines.
    pub(crate) detail: String,
    /// What to do next.
    pub(crate) hint: String,
    /// The exit code.
    pub(crate) exit: Exit,
}

impl Failure {
    /// A failure without detail or hint.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        let told =
            Told { title: title.into(), detail: String::new(), hint: String::new(), exit: Exit::Failed };
        Self::Told(Box::new(told))
    }

    /// The command line makes no sense: exit code 2.
    pub(crate) fn usage(title: impl Into<String>) -> Self {
        Self::new(title).with(|told| told.exit = Exit::Usage)
    }

    /// "failed to `act`" with the whole chain of causes.
    pub(crate) fn chain(act: &str, error: &dyn Error) -> Self {
        Self::new(format!("failed to {act}: {}", chain_of(error)))
    }

    /// Adds the next command to type.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        self.with(|told| told.hint = hint.into())
    }

    /// Adds lines that one does not do without.
    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        self.with(|told| told.detail = detail.into())
    }

    fn with(mut self, change: impl FnOnce(&mut Told)) -> Self {
        if let Self::Told(told) = &mut self {
            change(told);
        }
        self
    }

    /// A failed write to standard output.
    pub(crate) fn from_stdout(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::chain("write to standard output", &error)
    }

    /// The code to exit with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Told(told) => told.exit,
            Self::Silent(exit) => *exit,
            Self::ReaderGone => Exit::Done,
        }
    }

    /// The text for standard error; none where nothing is to be told.
    pub(crate) fn render(&self, style: Style) -> Option<String> {
        match self {
            Self::Told(told) => Some(told.render(style)),
            Self::Silent(_) | Self::ReaderGone => None,
        }
    }
}

impl Told {
    fn render(&self, style: Style) -> String {
        let mut text = format!("{} {}", style.red("error:"), self.title);
        if !self.detail.is_empty() {
            text.push_str("\n\n");
            text.push_str(self.detail.trim_end());
        }
        if !self.hint.is_empty() {
            text.push_str(&format!("\n\n{} {}", style.cyan("hint:"), self.hint));
        }
        text
    }
}

/// An error and its causes, from the outside in: `failed to a: failed to b: no such file`.
pub(crate) fn chain_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::new(problem.title).detail(problem.detail).hint(problem.hint)
    }
}

impl From<api::Error> for Failure {
    fn from(error: api::Error) -> Self {
        match error {
            api::Error::Problem(problem) => problem.into(),
            error => {
                let hint = error.hint().unwrap_or_default();
                Self::new(format!("failed to {}", chain_of(&error))).hint(hint)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(failure: &Failure) -> String {
        failure.render(Style::new(false)).expect("told failures render")
    }

    #[test]
    fn errors_have_a_line_then_detail_then_a_hint_with_blank_lines_between() {
        let problem = Problem::new(409, "release_failed", "the release phase ended with exit code 1")
            .detail("line 1\nline 2\n")
            .hint("fix the migration and run `tandem deploy` again");
        assert_eq!(
            rendered(&Failure::from(problem)),
            "error: the release phase ended with exit code 1\n\nline 1\nline 2\n\n\
             hint: fix the migration and run `tandem deploy` again"
        );
        assert_eq!(rendered(&Failure::new("no")), "error: no");
    }

    #[test]
    fn causes_are_told_once_each() {
        #[derive(Debug, thiserror::Error)]
        #[error("read the app file")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("no such file"));
        assert_eq!(
            rendered(&Failure::chain("deploy", &error)),
            "error: failed to deploy: read the app file: no such file"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from_stdout(io::ErrorKind::BrokenPipe.into());
        assert!(matches!(failure, Failure::ReaderGone));
        assert_eq!(failure.exit(), Exit::Done);
        assert_eq!(failure.render(Style::new(false)), None);
    }
}
