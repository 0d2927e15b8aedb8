//! Private readers of bytes as the fuzz targets need them (`fuzz/` at the root of the repository). No part of the crate's
//! interface: nothing else may use this.

use std::io;

use tandem_types::Timestamp;
use tandem_types::event::Stream;
use tandem_types::shim::{Answer, Request};

use crate::logs::{self, Line};
use crate::shim::input;
use crate::supervisor;

/// The requests in what a client of a shim says, piece by piece; none from where it says too much.
pub fn requests<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Result<Request, String>> {
    let (mut input, mut requests) = (input::Input::default(), Vec::new());
    for piece in pieces {
        let fits = input.take(piece);
        requests.extend(std::iter::from_fn(|| input.next_request()));
        if !fits {
            break;
        }
    }
    requests
}

/// The answer in what a shim says.
///
/// # Errors
/// It is none.
pub async fn answer(bytes: &[u8]) -> io::Result<Answer> {
    input::read_answer(bytes).await
}

/// The lines of an app's output, cut at `limit` bytes.
pub fn output_lines<'a>(limit: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut lines, mut found) = (supervisor::Lines::new(limit), Vec::new());
    for piece in pieces {
        lines.push(piece, &mut |line| found.push(line.to_owned()));
    }
    lines.finish(&mut |line| found.push(line.to_owned()));
    found
}

/// A line of a log as it is written.
#[must_use]
pub fn write_line(time: Timestamp, stream: Stream, text: &str) -> String {
    logs::format::write(time, stream, text)
}

/// A line of a log as it is read, without its end.
#[must_use]
pub fn read_line(bytes: &[u8]) -> Option<Line> {
    logs::format::read(bytes)
}

/// Process id of a `/proc/PID/stat`.
#[must_use]
pub fn pid_in_stat(bytes: &[u8]) -> Option<i32> {
    crate::process::parse_stat(bytes).map(|stat| stat.pid)
}
