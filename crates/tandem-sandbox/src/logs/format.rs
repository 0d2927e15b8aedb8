//! The form of a log: text that people can read with `less`.
//!
//! A chunk begins with a head, `# tandem-log/1 {"release":"r12",…}`; then one line for each line of output:
//! `2026-11-21T01:02:03.123456Z o text`, with `o` for standard output, `e` for standard error, `t` for a remark of
//! Tandem's own. A line that cannot be read (torn by a crash of the machine) is passed over.

use std::collections::BTreeMap;

use tandem_types::Timestamp;
use tandem_types::event::Stream;

/// How every chunk begins.
const HEAD: &str = "# tandem-log/1 ";

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When the shim read its end.
    pub time: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// Its text without its end.
    pub text: String,
}

/// The head of a chunk, with its end of line.
pub(super) fn head(tags: &BTreeMap<String, String>) -> String {
    let tags = serde_json::to_string(tags).expect("strings by strings are always JSON");
    format!("{HEAD}{tags}\n")
}

/// The tags in a head, with or without its end of line; none where it is something else.
pub(super) fn read_head(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    serde_json::from_slice(bytes.strip_prefix(HEAD.as_bytes())?).ok()
}

/// A line as it is written, with its end.
pub(crate) fn write(time: Timestamp, stream: Stream, text: &str) -> String {
    let mark = match stream {
        Stream::Stdout => 'o',
        Stream::Stderr => 'e',
        Stream::Tandem => 't',
    };
    format!("{time:.6} {mark} {text}\n")
}

/// Reads a line without its end. None: a head, or damaged.
pub(crate) fn read(bytes: &[u8]) -> Option<Line> {
    let text = String::from_utf8_lossy(bytes);
    let (time, rest) = text.split_once(' ')?;
    let (mark, text) = rest.split_once(' ')?;
    let stream = match mark {
        "o" => Stream::Stdout,
        "e" => Stream::Stderr,
        "t" => Stream::Tandem,
        _ => return None,
    };
    Some(Line { time: time.parse().ok()?, stream, text: text.to_owned() })
}
