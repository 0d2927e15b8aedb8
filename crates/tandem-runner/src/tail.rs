//! The settings of logs, and their last lines for reports.

use std::path::PathBuf;

use tandem_kit::tasks;
use tandem_sandbox::logs;
use tandem_types::defaults;
use tandem_types::event::Stream;

/// Lines of output in a report of something that failed.
const LINES: usize = 20;

/// How a shim writes the log in this folder.
pub(crate) fn settings<const N: usize>(dir: PathBuf, tags: [(&str, String); N]) -> logs::Settings {
    logs::Settings {
        dir,
        chunk_bytes: defaults::LOG_CHUNK_BYTES,
        chunks: defaults::LOG_CHUNKS,
        tags: tags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// The last lines of a log for a report, Tandem's own remarks left out; none where it cannot be read, which is logged.
pub(crate) async fn last_lines(folder: PathBuf) -> Vec<String> {
    // Remarks (started, ended) come beside the lines asked for.
    let read = tasks::blocking("log-tail", move || logs::tail(&folder, LINES + 4)).await;
    let lines = match read {
        Ok(tail) => tail.lines,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not read a log");
            return Vec::new();
        }
    };
    let said: Vec<String> =
        lines.into_iter().filter(|line| line.stream != Stream::Tandem).map(|line| line.text).collect();
    said[said.len().saturating_sub(LINES)..].to_vec()
}
