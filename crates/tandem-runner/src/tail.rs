//! The settings of logs, and what reports tell of them: their last lines, and the last error in them.

use std::path::PathBuf;

use tandem_kit::tasks;
use tandem_sandbox::logs;
use tandem_types::defaults;
use tandem_types::event::Stream;

/// Lines of output in a report of something that failed.
const LINES: usize = 20;
/// Lines that are searched for an error. Tracebacks of web apps are long, and each request that fails writes one.
const SEARCHED: usize = 400;
/// Most characters of an error that are told in one line.
const ERROR_CHARS: usize = 300;

/// How a shim writes the log in this folder.
pub(crate) fn settings<const N: usize>(dir: PathBuf, tags: [(&str, String); N]) -> logs::Settings {
    logs::Settings {
        dir,
        chunk_bytes: defaults::LOG_CHUNK_BYTES,
        chunks: defaults::LOG_CHUNKS,
        tags: tags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// The end of a log, Tandem's own remarks left out.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// Its last lines.
    pub(crate) last_lines: Vec<String>,
    /// What the last traceback in it ends with.
    pub(crate) last_error: Option<String>,
}

/// The last lines of a log for a report; none where it cannot be read, which is logged.
pub(crate) async fn last_lines(folder: PathBuf) -> Vec<String> {
    read(folder).await.last_lines
}

/// The end of a log; empty where it cannot be read, which is logged.
pub(crate) async fn read(folder: PathBuf) -> Tail {
    let read = tasks::blocking("log-tail", move || logs::tail(&folder, SEARCHED)).await;
    let lines = match read {
        Ok(tail) => tail.lines,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not read a log");
            return Tail::default();
        }
    };
    let mut said: Vec<String> =
        lines.into_iter().filter(|line| line.stream != Stream::Tandem).map(|line| line.text).collect();
    let last_error = last_error(&said).map(|line| line.chars().take(ERROR_CHARS).collect());
    Tail { last_lines: said.split_off(said.len().saturating_sub(LINES)), last_error }
}

/// The line that says what went wrong: the first after the last whole traceback of Python that is not indented, or the one
/// above the last stack of Node.
fn last_error(lines: &[String]) -> Option<&str> {
    let is_inside = |line: &String| line.is_empty() || line.starts_with([' ', '\t']);
    let ends = lines.iter().enumerate().rev().filter_map(|(at, line)| {
        let below = &lines[at + 1..];
        if line.trim_end().ends_with("Traceback (most recent call last):") {
            return below.iter().find(|line| !is_inside(line));
        }
        let is_node = below.first().is_some_and(|line| line.starts_with("    at ")) && !is_inside(line);
        is_node.then_some(line)
    });
    ends.map(|line| line.trim()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(log: &str) -> Option<String> {
        let lines: Vec<String> = log.lines().map(str::to_owned).collect();
        last_error(&lines).map(str::to_owned)
    }

    #[test]
    fn the_last_line_of_the_last_traceback_says_what_went_wrong() {
        let first = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    x()\nKeyError: 'A'\n";
        let second = "\nDuring handling of the above exception, another exception occurred:\n\n\
            Traceback (most recent call last):\n  File \"b.py\", line 2, in b\n    ^^^\nValueError: no A\n";
        assert_eq!(told("up\n"), None);
        assert_eq!(told(&format!("up\n{first}GET / 500\n")).as_deref(), Some("KeyError: 'A'"));
        assert_eq!(told(&format!("{first}{second}")).as_deref(), Some("ValueError: no A"));
        let being_written = format!("{first}Traceback (most recent call last):\n  File \"c.py\", line 3");
        assert_eq!(told(&being_written).as_deref(), Some("KeyError: 'A'"));
    }

    #[test]
    fn the_line_above_a_stack_of_node_does_too() {
        let log = "up\nError: no such table\n    at Object.<anonymous> (/app/server.js:3:7)\n    at node:internal\n";
        assert_eq!(told(log).as_deref(), Some("Error: no such table"));
    }
}
