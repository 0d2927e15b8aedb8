//! Sources that the server fetches itself, by git, from a URL.
//!
//! git reads configuration, runs helpers and filters, and talks to whoever a URL names. So it runs in the sandbox as the
//! build's user, knows no configuration but what is written here, speaks HTTPS and SSH and nothing else, asks nobody
//! anything, and has a limit of time and size. What is allowed in a URL is decided in [`remote`], before anything runs.
//! Which app's key is used, and which hosts are known, is told by the caller. See decision 020.

mod call;
mod checkout;
mod error;
mod hosts;
mod key;
mod leftovers;
mod lfs;
mod listing;
mod programs;
mod refs;
mod remote;
mod steps;
mod why;

pub use error::Error;
pub use hosts::{Pin, fingerprint_of};
pub use key::{KeyError, KeyPair, create_key};
pub use lfs::{is_pointer, pointers_below, problem as lfs_problem};
pub use remote::{Refused, Remote, check, is_url};

pub(crate) use call::FOLDER;
pub(crate) use steps::Steps;

use tandem_types::build::SourceInfo;
use tandem_types::git::GitSource;
use tandem_types::{AppName, Digest, Span};

/// Longest time that a fetch may take, all its steps together.
pub const TIMEOUT: Span = Span::minutes(10);
/// Most that one fetch may bring, packed: the last commit of all but a few sources is a tenth of it.
pub(crate) const USUAL_BYTES: u64 = 1 << 30;

/// Longest subject of a commit that is kept, in characters; some tools write whole changelogs into it.
const LONGEST_SUBJECT: usize = 200;

/// What a record keeps of a commit's subject; none where it is empty.
#[must_use]
pub fn shown_subject(subject: &str) -> Option<String> {
    let line = subject.lines().next()?.trim();
    let mut shown: String = line.chars().take(LONGEST_SUBJECT).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    (!shown.is_empty()).then_some(shown)
}

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// For which app.
    pub app: AppName,
    /// From where.
    pub source: GitSource,
    /// User and group id of the environment's instances; see [`crate::BuildRequest::uid`].
    pub uid: u32,
    /// The app's key, where it has one.
    pub key: Option<KeyPair>,
    /// Hosts that are known, as lines of a `known_hosts` file.
    pub known_hosts: Vec<String>,
    /// Time budget, [`TIMEOUT`] as a rule.
    pub timeout: Span,
}

/// A source that is in the blob store now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Root tree.
    pub tree: Digest,
    /// Where it came from.
    pub info: SourceInfo,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// What a fetch came to. Hosts are met also where it failed behind that.
#[derive(Debug)]
pub struct Attempt {
    /// The source, or why there is none.
    pub result: Result<Fetched, Error>,
    /// Hosts that were not known before, with the keys they showed.
    pub pins: Vec<Pin>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line_of_a_length_that_people_read() {
        assert_eq!(shown_subject("First one\nmore").as_deref(), Some("First one"));
        assert_eq!(shown_subject("\n"), None);
        let long = shown_subject(&"é".repeat(5000)).expect("there is one");
        assert!(long.chars().count() == 201 && long.ends_with("é…"), "{long}");
    }
}
