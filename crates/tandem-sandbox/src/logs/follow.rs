//! A log as it grows.

use std::io;
use std::path::Path;

use super::{Line, Position};

/// Yields the lines behind a position as they are written.
#[derive(Debug)]
pub struct Follow {}

impl Follow {
    /// Follows the log in the folder, which must exist, from behind the position. Must be called inside a runtime.
    ///
    /// # Errors
    /// Fails where the folder cannot be watched.
    pub fn new(dir: &Path, position: Position) -> io::Result<Self> {
        let _ = (dir, position);
        todo!()
    }

    /// The next line; waits for it. None once the folder is gone. May be dropped and called again without loss.
    ///
    /// # Errors
    /// Fails where a chunk cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        todo!()
    }
}
