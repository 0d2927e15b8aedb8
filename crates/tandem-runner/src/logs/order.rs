//! Lines of several logs in one order, by clocks that may have been set.
//!
//! Each log is in the order in which it was written, whatever its times say, and that order is kept. Between logs the times
//! decide; but where the clock was set back inside of a log, what stands before that is taken for as early as the first
//! line behind it (about the moment itself the logs may be mixed). Sorted by time alone, an hour that a clock was set back would hide each new line behind the old ones,
//! for an hour.
//!
//! One thing cannot be told: a log that ended before the clock was set back has nothing behind that, so its last hour is
//! taken for later than it was.

use tandem_types::Timestamp;
use tandem_types::event::LogLine;

/// A log that is taken from its end.
struct Rest {
    lines: Vec<LogLine>,
    /// The earliest time of those that were taken.
    before: Timestamp,
}

impl Rest {
    /// Where its last line belongs.
    fn place(&self) -> Option<(Timestamp, Timestamp)> {
        self.lines.last().map(|line| (line.time.min(self.before), line.time))
    }

    fn take(&mut self) -> Option<LogLine> {
        let line = self.lines.pop()?;
        self.before = self.before.min(line.time);
        Some(line)
    }
}

/// The last `count` lines of all logs, oldest first.
pub(super) fn last(logs: Vec<Vec<LogLine>>, count: usize) -> Vec<LogLine> {
    let mut rests: Vec<_> = logs.into_iter().map(|lines| Rest { lines, before: Timestamp::MAX }).collect();
    let mut taken = Vec::new();
    while taken.len() < count {
        let latest = rests.iter_mut().max_by_key(|rest| rest.place());
        let Some(line) = latest.and_then(Rest::take) else { break };
        taken.push(line);
    }
    taken.reverse();
    taken
}

#[cfg(test)]
mod tests {
    use tandem_types::event::Stream;
    use tandem_types::{InstanceId, ReleaseNumber};

    use super::*;

    /// `a 13:05` is a line of the log `a` at five past one.
    fn logs(texts: &[&str]) -> Vec<Vec<LogLine>> {
        let line = |text: &str| LogLine {
            time: format!("2026-11-21T{}:00Z", &text[2..]).parse().expect("a time"),
            stream: Stream::Stdout,
            process: "web".parse().expect("a name"),
            index: 1,
            instance: Some(InstanceId(1)),
            release: ReleaseNumber(1),
            text: text.to_owned(),
        };
        texts.iter().map(|log| log.split(", ").map(line).collect()).collect()
    }

    fn told(texts: &[&str], count: usize) -> Vec<String> {
        last(logs(texts), count).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_of_several_logs_come_by_their_times() {
        let both = ["a 12:00, a 12:02, a 12:04", "b 12:01, b 12:03"];
        assert_eq!(told(&both, 4), ["b 12:01", "a 12:02", "b 12:03", "a 12:04"]);
        assert_eq!(told(&both, 0), Vec::<String>::new());
        assert_eq!(told(&[], 9), Vec::<String>::new());
    }

    #[test]
    fn a_clock_that_is_set_back_hides_no_new_line_behind_old_ones() {
        let both = ["a 12:58, a 13:00, a 12:01, a 12:03", "b 12:59, b 12:02, b 12:04"];
        assert_eq!(told(&both, 3), ["b 12:02", "a 12:03", "b 12:04"]);
        // At the seam nobody can tell.
        let all = ["a 12:58", "a 13:00", "a 12:01", "b 12:59", "b 12:02", "a 12:03", "b 12:04"];
        assert_eq!(told(&both, 9), all, "each log keeps its order");
    }

    #[test]
    fn a_clock_that_is_set_forward_and_back_again_hides_nothing_either() {
        let both = ["a 12:00, a 13:01, a 12:02", "b 12:00, b 13:00, b 12:03"];
        assert_eq!(told(&both, 1), ["b 12:03"]);
        let all = told(&both, 9);
        assert_eq!(all.len(), 6);
        assert_eq!(all[..2], ["a 12:00", "b 12:00"]);
    }
}
