//! Signals that ask a process to end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::ParseError;

/// What a process is asked to end with: SIGTERM, but for those that take it for something else (apache, php-fpm and uWSGI have
/// another for "finish what you do, then go").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Terminate,
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    HangUp,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGWINCH.
    WindowChange,
}

const NAMES: [(StopSignal, &str); 7] = [
    (StopSignal::Terminate, "SIGTERM"),
    (StopSignal::Interrupt, "SIGINT"),
    (StopSignal::Quit, "SIGQUIT"),
    (StopSignal::HangUp, "SIGHUP"),
    (StopSignal::User1, "SIGUSR1"),
    (StopSignal::User2, "SIGUSR2"),
    (StopSignal::WindowChange, "SIGWINCH"),
];

impl StopSignal {
    /// Whether it is what every program expects.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(signal, _)| signal == self);
        f.write_str(name.expect("every signal has a name").1)
    }
}

/// With `SIG` or without, in any case.
impl FromStr for StopSignal {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let upper = text.to_ascii_uppercase();
        let named = |name: &str| name == upper || name.strip_prefix("SIG") == Some(&upper);
        let found = NAMES.iter().find(|(_, name)| named(name)).map(|(signal, _)| *signal);
        found.ok_or_else(|| ParseError {
            what: "signal to end with",
            given: text.to_owned(),
            expected: "SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 or SIGWINCH",
        })
    }
}

impl Serialize for StopSignal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StopSignal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_people_write_them() {
        for (text, signal) in
            [("SIGINT", StopSignal::Interrupt), ("quit", StopSignal::Quit), ("Term", StopSignal::Terminate)]
        {
            assert_eq!(text.parse(), Ok(signal));
        }
        for wrong in ["", "SIG", "SIGKILL", "SIGSTOP", "9", "SIGSIGTERM"] {
            assert!(wrong.parse::<StopSignal>().is_err(), "{wrong:?} was taken for a signal to end with");
        }
        for (signal, name) in NAMES {
            assert_eq!(serde_json::to_string(&signal).unwrap(), format!("{name:?}"));
            assert_eq!(name.parse(), Ok(signal));
        }
    }
}
