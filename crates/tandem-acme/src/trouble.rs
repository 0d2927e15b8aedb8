//! Why an attempt came to nothing, for people and for who decides when the next one begins.

use jiff::SignedDuration;
use tandem_kit::error::chain;

/// See the module. Fits behind "the certificate is not to be had:".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// For people.
    pub message: String,
    /// For how long the authority asked to be left alone.
    pub retry_after: Option<SignedDuration>,
    /// The authority does not know the account any more: the next attempt needs another one.
    pub unknown_account: bool,
}

impl Trouble {
    /// One of which the authority says nothing.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None, unknown_account: false }
    }

    /// Of something that failed while this was done.
    pub(crate) fn of(doing: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(format!("failed to {doing}: {}", chain(error)))
    }

    /// What the authority answered, in its words.
    pub(crate) fn said(doing: &str, error: &instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => {
                let kind = problem.r#type.as_deref().unwrap_or_default();
                let unknown_account = kind.ends_with(":accountDoesNotExist");
                Self { unknown_account, ..Self::new(words(problem)) }
            }
            instant_acme::Error::Timeout(_) => Self::new("the authority does not come to an end with it"),
            other => Self::of(doing, other),
        }
    }
}

/// What an authority says is wrong, on one line.
pub(crate) fn words(problem: &instant_acme::Problem) -> String {
    let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or("refused");
    let detail = problem.detail.as_deref().unwrap_or_default();
    let inner = problem.subproblems.iter().filter_map(|sub| sub.detail.as_deref());
    let all: Vec<_> = std::iter::once(detail).chain(inner).filter(|text| !text.is_empty()).collect();
    let text: String =
        all.join("; ").chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    format!("the authority says: {text} ({kind})")
}
