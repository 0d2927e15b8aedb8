//! Why a command ended without doing what it was asked, in the form people get it: `error:`, what more is known,
//! and a `hint:` with the next command to type.
//!
//! Everything that fails becomes a [`Failure`] at the latest here: problems of the API keep their words, errors of
//! other crates are printed as a whole chain.

use std::error::Error;
use std::io;

use serde::Serialize;
use tandem_kit::api;
pub(crate) use tandem_kit::error::chain as chain_of;
use tandem_types::problem::Problem;

use crate::exit::Exit;
use crate::output::{Style, plain_lines, visible};

/// Code of the failure to find a server on this machine.
pub(crate) const NOT_RUNNING: &str = "server_not_running";
/// Code of the failure to hear from a server that is there.
pub(crate) const SILENT: &str = "server_silent";

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
    /// Stable code in snake case, for `--json`.
    pub(crate) code: String,
    /// HTTP status of the answer; 0 where no server answered.
    pub(crate) status: u16,
}

/// What `--json` prints of a failure: the same five fields as [`Problem`], none left out.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    problem: AnsweredProblem<'a>,
}

#[derive(Debug, Serialize)]
struct AnsweredProblem<'a> {
    code: &'a str,
    status: u16,
    title: &'a str,
    detail: &'a str,
    hint: &'a str,
}

impl Failure {
    /// A failure without detail or hint.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self::Told(Box::new(Told {
            title: title.into(),
            detail: String::new(),
            hint: String::new(),
            exit: Exit::Failed,
            code: "failed".to_owned(),
            status: 0,
        }))
    }

    /// The command line makes no sense: exit code 2.
    pub(crate) fn usage(title: impl Into<String>) -> Self {
        Self::new(title).with(|told| told.exit = Exit::Usage).code("usage")
    }

    /// "failed to `act`" with the whole chain of causes.
    pub(crate) fn chain(act: &str, error: &dyn Error) -> Self {
        Self::new(format!("failed to {act}: {}", chain_of(error)))
    }

    /// Says better what failed.
    pub(crate) fn titled(self, title: impl Into<String>) -> Self {
        self.with(|told| told.title = title.into())
    }

    /// Adds the next command to type.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        self.with(|told| told.hint = hint.into())
    }

    /// Adds lines that one does not do without.
    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        self.with(|told| told.detail = detail.into())
    }

    /// Adds lines where there are none yet.
    pub(crate) fn or_detail(self, detail: impl Into<String>) -> Self {
        self.with(|told| {
            if told.detail.is_empty() {
                told.detail = detail.into();
            }
        })
    }

    /// Sets the code for `--json`.
    pub(crate) fn code(self, code: &str) -> Self {
        self.with(|told| code.clone_into(&mut told.code))
    }

    /// Adds the next command to type where there is none yet.
    pub(crate) fn or_hint(self, hint: impl Into<String>) -> Self {
        self.with(|told| {
            if told.hint.is_empty() {
                told.hint = hint.into();
            }
        })
    }

    /// Takes the lines away that were printed just before.
    pub(crate) fn without_detail(self) -> Self {
        self.with(|told| told.detail.clear())
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

    /// Its stable code, where there is one to be told.
    pub(crate) fn code_is(&self) -> Option<&str> {
        match self {
            Self::Told(told) => Some(&told.code),
            Self::Silent(_) | Self::ReaderGone => None,
        }
    }

    /// The code to exit with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Told(told) => told.exit,
            Self::Silent(exit) => *exit,
            Self::ReaderGone => Exit::Done,
        }
    }

    /// The object for standard output with `--json`; none where nothing is to be told.
    pub(crate) fn answer(&self) -> Option<Answer<'_>> {
        let Self::Told(told) = self else { return None };
        let Told { title, detail, hint, code, status, .. } = &**told;
        Some(Answer { problem: AnsweredProblem { code, status: *status, title, detail, hint } })
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
        let mut text = format!("{} {}", style.red("error:"), visible(&self.title));
        if !self.detail.is_empty() {
            text.push_str("\n\n");
            text.push_str(&plain_lines(self.detail.trim_end()));
        }
        if !self.hint.is_empty() {
            text.push_str(&format!("\n\n{} {}", style.cyan("hint:"), plain_lines(&self.hint)));
        }
        text
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let status = problem.status;
        let failure = Self::new(problem.title).detail(problem.detail).hint(problem.hint);
        failure.code(&problem.code).with(|told| told.status = status)
    }
}

impl From<api::Error> for Failure {
    fn from(error: api::Error) -> Self {
        match error {
            error if is_foreign(&error) => foreign(&error),
            api::Error::Problem(problem) => problem.into(),
            error => {
                let hint = error.hint().unwrap_or_default();
                Self::new(format!("failed to {}", chain_of(&error))).hint(hint).code(code_of(&error))
            }
        }
    }
}

fn code_of(error: &api::Error) -> &'static str {
    match error {
        api::Error::NotRunning { .. } => NOT_RUNNING,
        api::Error::Connect { .. } => "server_unreachable",
        api::Error::Silent { .. } => SILENT,
        api::Error::Closed { .. } => "connection_lost",
        api::Error::Protocol { .. } | api::Error::Problem(_) => "answer_not_understood",
    }
}

/// Whether something else answers there: every refusal of Tandem's API is a problem, and every answer is JSON.
fn is_foreign(error: &api::Error) -> bool {
    let source = match error {
        // The balancer's words, for a host that no app has.
        api::Error::Problem(problem) => return problem.code == "unknown_host",
        api::Error::Protocol { source, .. } => source,
        _ => return false,
    };
    let not_json = source.downcast_ref::<serde_json::Error>().is_some_and(|error| error.is_syntax());
    not_json || source.to_string().ends_with("without a problem")
}

fn foreign(error: &api::Error) -> Failure {
    Failure::new(format!("this is not Tandem's API: failed to {}", chain_of(error)))
        .hint("check --server and TANDEM_SERVER: `tandem up` prints the address of the API, which is not where it serves the apps")
        .code("not_the_api")
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
