//! What people and scripts see: data on standard output, everything else on standard error.
//!
//! No verb prints by itself. [`Output`] knows whether somebody looks at a terminal, whether colours are wanted and
//! whether `--json` or `--quiet` was given, so that each verb only says what there is to say.

mod amount;
mod progress;
mod style;
mod table;
mod visible;
mod when;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tandem_kit::logging;

use crate::failure::Failure;

pub(crate) use amount::{bytes, count, memory, milliseconds};
pub(crate) use progress::{Bar, Spinner};
pub(crate) use style::Style;
pub(crate) use table::{Cell, Table};
pub(crate) use visible::{colored, plain, plain_lines, visible};
pub(crate) use when::{ago, local_time};

/// Where words go and how they look.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// One JSON value (or one a line) on standard output instead of text.
    pub(crate) json: bool,
    /// No progress; errors and data remain.
    pub(crate) quiet: bool,
    stdout_colors: bool,
    stderr_colors: bool,
    stderr_is_terminal: bool,
    /// Whether a value was printed as JSON, in any clone.
    answered: Arc<AtomicBool>,
}

impl Output {
    /// Looks at the two streams and at `NO_COLOR` (<https://no-color.org>).
    pub(crate) fn detect(json: bool, quiet: bool) -> Self {
        let stderr_is_terminal = io::stderr().is_terminal();
        Self {
            json,
            quiet,
            stdout_colors: logging::colors(io::stdout().is_terminal()),
            stderr_colors: logging::colors(stderr_is_terminal),
            stderr_is_terminal,
            answered: Arc::default(),
        }
    }

    /// A line of data on standard output.
    ///
    /// # Errors
    ///
    /// [`Failure::ReaderGone`] when nobody reads any more, else why the stream cannot be written to.
    pub(crate) fn line(&self, line: impl Display) -> Result<(), Failure> {
        writeln!(io::stdout().lock(), "{line}").map_err(Failure::from_stdout)
    }

    /// Text on standard output as it is.
    ///
    /// # Errors
    ///
    /// As [`Output::line`].
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::from_stdout)
    }

    /// A value as one line of JSON on standard output.
    ///
    /// # Errors
    ///
    /// As [`Output::line`].
    pub(crate) fn value<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Failure> {
        let text =
            serde_json::to_string(value).map_err(|e| Failure::chain("write the answer as JSON", &e))?;
        self.answered.store(true, Ordering::Relaxed);
        self.line(text)
    }

    /// Whether standard output has a JSON value by now, so that a failure need not be told there.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The value as JSON where `--json` asks for it, else what `text` makes of it.
    ///
    /// # Errors
    ///
    /// As [`Output::line`].
    pub(crate) fn show<T: Serialize + ?Sized>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if self.json { self.value(value) } else { self.text(&text(value)) }
    }

    /// A line of progress on standard error; silent with `--quiet`. That it cannot be written is nobody's loss.
    pub(crate) fn note(&self, line: impl Display) {
        if !self.quiet {
            self.always(line);
        }
    }

    /// A line on standard error that `--quiet` does not silence.
    pub(crate) fn always(&self, line: impl Display) {
        drop(writeln!(io::stderr().lock(), "{line}"));
    }

    /// How data looks on standard output.
    pub(crate) fn data_style(&self) -> Style {
        Style::new(self.stdout_colors)
    }

    /// How progress and errors look on standard error.
    pub(crate) fn style(&self) -> Style {
        Style::new(self.stderr_colors)
    }

    /// Whether bars and spinners make sense.
    pub(crate) fn is_lively(&self) -> bool {
        self.stderr_is_terminal && !self.quiet
    }
}
