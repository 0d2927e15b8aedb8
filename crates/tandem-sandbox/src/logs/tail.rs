//! The end of a log.

use std::io;
use std::path::Path;

use super::{Line, chunks, format};

/// A place in a log, from which [`super::Follow`] goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Number of the chunk; 0 is the beginning of the oldest one.
    pub chunk: u64,
    /// Offset in it in bytes.
    pub offset: u64,
}

/// The last lines and the place behind them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tail {
    /// Oldest first.
    pub lines: Vec<Line>,
    /// Where the next line will be.
    pub position: Position,
}

/// Reads the last `count` lines of the log in the folder, or of one that is folded. A missing folder is an empty log. Reads whole chunks: call it on
/// a thread that may block.
///
/// # Errors
/// Fails where a chunk is there but cannot be read.
pub fn tail(log: &Path, count: usize) -> io::Result<Tail> {
    let mut lines = Vec::new();
    let mut position = None;
    for (number, path) in chunks::files(log)?.into_iter().rev() {
        let content = match std::fs::read(path) {
            // Deleted by the writer just now: all older ones are gone too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            content => content?,
        };
        let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        position.get_or_insert(Position { chunk: number, offset: whole as u64 });
        let newest_first = content[..whole].split(|byte| *byte == b'\n').rev();
        lines.extend(newest_first.filter_map(format::read).take(count - lines.len()));
        if lines.len() >= count {
            break;
        }
    }
    lines.reverse();
    Ok(Tail { lines, position: position.unwrap_or_default() })
}
