//! The form of a log line.

use tandem_types::Timestamp;
use tandem_types::event::Stream;

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
