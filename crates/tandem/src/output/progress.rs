//! Things that move on a terminal: a bar for what is counted, a spinner for what is waited for. Elsewhere they are
//! silent and the plain lines around them tell the same.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Output;

/// Time between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// A bar that fills with counted things.
pub(crate) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// An empty bar; invisible where nobody looks.
    pub(crate) fn new(output: &Output, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target(output));
        let style = ProgressStyle::with_template("  {msg} {bar:30} {pos}/{len} {elapsed}")
            .expect("the template is a constant");
        bar.set_style(style);
        bar.set_message(what);
        Self { bar }
    }

    /// How far it is.
    pub(crate) fn set(&self, done: u64, all: u64) {
        self.bar.set_length(all);
        self.bar.set_position(done);
    }

    /// Takes it off the screen.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// A sign of life below the lines that are printed.
pub(crate) struct Spinner {
    bar: ProgressBar,
    lively: bool,
    output: Output,
}

impl Spinner {
    /// A spinner that stands still and is not seen.
    pub(crate) fn new(output: &Output) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style =
            ProgressStyle::with_template("  {spinner} {msg} {elapsed}").expect("the template is a constant");
        bar.set_style(style);
        Self { bar, lively: output.is_lively(), output: output.clone() }
    }

    /// Shows it with what is being waited for.
    pub(crate) fn show(&self, what: impl Into<Cow<'static, str>>) {
        if self.lively {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.reset_elapsed();
            self.bar.set_message(what);
            self.bar.enable_steady_tick(TICK);
        }
    }

    /// Prints a line above it.
    pub(crate) fn print(&self, line: &str) {
        self.bar.suspend(|| self.output.note(line));
    }

    /// Takes it off the screen.
    pub(crate) fn hide(&self) {
        if self.lively {
            self.bar.disable_steady_tick();
            self.bar.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn target(output: &Output) -> ProgressDrawTarget {
    if output.is_lively() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}
