//! What a run tells while it goes on: each line with the time since its begin.

use std::io::Write as _;
use std::sync::OnceLock;

use tandem_kit::clock::{Clock, Moment};

/// Prints a line with the minutes and seconds since the first one.
pub fn say(text: &str) {
    static BEGIN: OnceLock<(Clock, Moment)> = OnceLock::new();
    let (clock, begin) = BEGIN.get_or_init(|| {
        let clock = Clock::system();
        let begin = clock.monotonic();
        (clock, begin)
    });
    let passed = clock.monotonic().elapsed_since(*begin).as_secs();
    print(&format!("[{:3}:{:02}] {text}", passed / 60, passed % 60));
}

/// Prints as it is. Whoever read it may have gone; the report is written all the same.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
