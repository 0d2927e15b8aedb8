//! What one transaction writes, expects and says.

use serde_json::Value;
use tandem_types::document::{Cause, Kind, Lease};
use tandem_types::{Fence, Revision};

use crate::store::LARGEST_BODY;
use crate::{Error, check_key, kind};

/// What a document is expected to be before the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Not there.
    Absent,
    /// Last written by this revision.
    Revision(Revision),
    /// Whatever it is.
    Any,
}

/// One expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Key of the document; it need not be written too.
    pub key: String,
    /// What it is to be.
    pub expected: Expect,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Creates or replaces a document.
    Put {
        /// Its key.
        key: String,
        /// Kind and format version, such as `app/1`.
        kind: String,
        /// Its value.
        body: Value,
    },
    /// Deletes a document; none there is fine.
    Delete {
        /// Its key.
        key: String,
    },
}

impl Write {
    /// Key of the document it writes.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Several writes that happen together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// Who, what and why: becomes the journal entry.
    pub cause: Cause,
    /// What must hold before.
    pub checks: Vec<Check>,
    /// What is written; no key twice.
    pub writes: Vec<Write>,
    /// A lease that must be held: its name and fence.
    pub fence: Option<(String, Fence)>,
    /// Whether a journal entry without writes is meant.
    pub note: bool,
}

impl Transaction {
    /// A transaction that does nothing yet.
    #[must_use]
    pub fn new(cause: Cause) -> Self {
        Self { cause, checks: Vec::new(), writes: Vec::new(), fence: None, note: false }
    }

    /// Creates or replaces a document that is now as expected.
    ///
    /// # Panics
    /// The value has no JSON form (a map whose keys are no strings); stored types all have one.
    #[must_use]
    pub fn put<T: Kind>(self, key: impl Into<String>, value: &T, expected: Expect) -> Self {
        let body = serde_json::to_value(value).expect("stored types have a JSON form");
        self.put_value(key, (T::KIND, body), expected)
    }

    /// As [`Transaction::put`], for a value that is JSON already.
    #[must_use]
    pub fn put_value(
        mut self,
        key: impl Into<String>,
        (kind, body): (&str, Value),
        expected: Expect,
    ) -> Self {
        let key = key.into();
        self.writes.push(Write::Put { key: key.clone(), kind: kind.to_owned(), body });
        self.check(key, expected)
    }

    /// Deletes a document that is now as expected.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>, expected: Expect) -> Self {
        let key = key.into();
        self.writes.push(Write::Delete { key: key.clone() });
        self.check(key, expected)
    }

    /// Expects something of a document that need not be written.
    #[must_use]
    pub fn check(mut self, key: impl Into<String>, expected: Expect) -> Self {
        if expected != Expect::Any {
            self.checks.push(Check { key: key.into(), expected });
        }
        self
    }

    /// Refuses the transaction unless the lease is still held by this holder.
    #[must_use]
    pub fn fenced(mut self, lease: &Lease) -> Self {
        self.fence = Some((lease.name.clone(), lease.fence));
        self
    }

    /// Makes a journal entry also without writes.
    #[must_use]
    pub fn noted(mut self) -> Self {
        self.note = true;
        self
    }

    /// Refuses what no engine accepts.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.writes.is_empty() && !self.note {
            return Err(Error::malformed("it writes nothing and is no note"));
        }
        let mut keys: Vec<_> = self.writes.iter().map(Write::key).collect();
        keys.sort_unstable();
        if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::malformed(format!("it writes {} twice", twice[0])));
        }
        keys.into_iter().chain(self.checks.iter().map(|check| check.key.as_str())).try_for_each(check_key)
    }
}

/// The JSON text of a body, within its limits.
pub(crate) fn encode(key: &str, kind: &str, body: &Value) -> Result<String, Error> {
    kind::parse(kind)?;
    let text = body.to_string();
    if text.len() > LARGEST_BODY {
        return Err(Error::malformed(format!("the body of {key} is longer than {LARGEST_BODY} bytes")));
    }
    Ok(text)
}
