//! One command to its end, for builds: the same isolation as instances, no shim, output line by line.

use tandem_types::Span;
use tandem_types::event::Stream;
use tandem_types::instance::Exit;

use crate::Spec;

/// Bounds of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything is killed after this time.
    pub timeout: Span,
    /// Lines of output kept for [`Outcome::last_lines`].
    pub last_lines: usize,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Code or signal.
    pub exit: Exit,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
    /// The end of its output, both streams as they came.
    pub last_lines: Vec<String>,
}

impl Outcome {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit.code == Some(0) && !self.timed_out
    }
}

/// Why a command did not run, or its end is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

/// Runs a command to its end and hands over its lines as they come. When the future is dropped, the command and
/// everything that it started is killed.
///
/// # Errors
/// Fails when the command could not be started; that it failed itself is told by [`Outcome`].
pub async fn run(
    spec: Spec,
    options: Options,
    on_line: &mut (dyn FnMut(Stream, &str) + Send),
) -> Result<Outcome, Error> {
    let _ = (spec, options, on_line);
    todo!()
}
