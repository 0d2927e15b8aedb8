//! Log lines for people on standard error.
//!
//! One line an event: time, level, part, message, fields. The filter comes from [`crate::env::TANDEM_LOG`], colors
//! only go to a terminal. What is worth which level stands in `CONTRIBUTING.md`.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::clock::Clock;
use crate::env;

mod lines;

/// How a process logs.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Filter where [`crate::env::TANDEM_LOG`] is not set, such as `info`.
    pub filter: String,
    /// Whether lines begin with the time; off where something else stamps them.
    pub time: bool,
    /// A file of this process's own: where standard error leads to it, it is rotated (10 MiB, five files), and nobody
    /// waits for any line, whatever standard error is. What cannot be written at once is dropped and counted.
    pub own_file: Option<PathBuf>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { filter: "info".to_owned(), time: true, own_file: None }
    }
}

/// Why logging was not set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one.
    #[error("read the log filter {filter:?}")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// There is no standard error.
    #[error("use standard error for log lines")]
    Stream(#[source] io::Error),
}

/// Sets up logging for the whole process. A second call changes nothing.
///
/// # Errors
/// The filter does not parse, or lines cannot go anywhere.
pub fn init(options: LogOptions) -> Result<(), Error> {
    let filter = std::env::var(env::TANDEM_LOG).ok().filter(|text| !text.is_empty());
    let filter = filter.unwrap_or(options.filter);
    let parsed = parse(filter)?;
    let writer = match &options.own_file {
        Some(file) => BoxMakeWriter::new(lines::Lines::stderr(file).map_err(Error::Stream)?),
        None => BoxMakeWriter::new(io::stderr),
    };
    let lines = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(colors(io::stderr().is_terminal()))
        .with_env_filter(parsed)
        .with_timer(Stamp { clock: options.time.then(Clock::system) });
    // Only fails when a subscriber is set already, as in a test binary.
    let _ = lines.try_init();
    Ok(())
}

fn parse(filter: String) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(&filter).map_err(|source| Error::Filter { filter, source })
}

/// Whether to print colors to a stream: only to a terminal, and not where the user said no.
#[must_use]
pub fn colors(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os(env::NO_COLOR).is_none_or(|value| value.is_empty())
}

/// Prints the time of an event, to the millisecond.
struct Stamp {
    clock: Option<Clock>,
}

impl FormatTime for Stamp {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        match &self.clock {
            Some(clock) => write!(writer, "{:.3}", clock.now()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_stamped_to_the_millisecond_or_not_at_all() {
        let (clock, _hands) = Clock::manual("2026-11-21T12:00:00.1239Z".parse().unwrap());
        let mut line = String::new();
        Stamp { clock: Some(clock) }.format_time(&mut Writer::new(&mut line)).unwrap();
        assert_eq!(line, "2026-11-21T12:00:00.123Z");
        line.clear();
        Stamp { clock: None }.format_time(&mut Writer::new(&mut line)).unwrap();
        assert_eq!(line, "");
    }

    #[test]
    fn a_filter_that_is_none_is_told() {
        assert!(parse("info,tandem_runner=debug".to_owned()).is_ok());
        let error = parse("tandem=loud".to_owned()).unwrap_err();
        assert_eq!(error.to_string(), "read the log filter \"tandem=loud\"");
    }
}
