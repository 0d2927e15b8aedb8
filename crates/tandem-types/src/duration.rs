//! Lengths of time as people write them: `30s`, `15m`, `2h`, `500ms`, `7d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::ids::{ParseError, text_serde};

/// A length of time with a resolution of one millisecond; written as a whole number and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Span {
    /// A span of whole milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(millis)
    }

    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1_000)
    }

    /// A span of whole minutes.
    #[must_use]
    pub const fn minutes(minutes: u64) -> Self {
        Self(minutes * 60_000)
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The length for timers.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: &&(&str, u64)| self.0.is_multiple_of(unit.1) && (self.0 > 0 || unit.0 == "s");
        let (name, size) =
            UNITS.iter().rev().find(fits).expect("every number is a multiple of one millisecond");
        write!(f, "{}{name}", self.0 / size)
    }
}

impl FromStr for Span {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            what: "length of time",
            given: text.to_owned(),
            expected: "a whole number and a unit, such as 500ms, 30s, 15m, 2h or 7d",
        };
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
        let (number, unit) = text.split_at(split);
        let size = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size).ok_or_else(refuse)?;
        let number: u64 = number.parse().map_err(|_| refuse())?;
        number.checked_mul(size).map(Self).ok_or_else(refuse)
    }
}

text_serde!(Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_print_in_their_largest_whole_unit_and_parse_back() {
        for (span, text) in [
            (Span::millis(500), "500ms"),
            (Span::seconds(90), "90s"),
            (Span::minutes(15), "15m"),
            (Span::minutes(120), "2h"),
            (Span::seconds(0), "0s"),
        ] {
            assert_eq!(span.to_string(), text);
            assert_eq!(text.parse(), Ok(span));
        }
        for wrong in ["", "30", "s", "-1s", "1.5s", "1 s", "1w"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong:?} was taken for a length of time");
        }
    }
}
