//! Errors on the wire: RFC 9457 `application/problem+json` with a stable code and a hint.

use serde::{Deserialize, Serialize};

/// A refusal or failure that people can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable code in snake case: `app_not_found`, `rollout_in_progress`, …
    pub code: String,
    /// HTTP status.
    pub status: u16,
    /// What failed and why, lower case, no full stop.
    pub title: String,
    /// More lines where one does not do: a log tail, a list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The next command to type, or what to change.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Problem {
    /// A problem without detail or hint.
    #[must_use]
    pub fn new(status: u16, code: &str, title: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            status,
            title: title.into(),
            detail: String::new(),
            hint: String::new(),
        }
    }

    /// Adds the next command to type.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Adds lines that one does not do without.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.title)
    }
}

impl std::error::Error for Problem {}
