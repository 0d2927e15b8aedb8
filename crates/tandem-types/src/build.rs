//! Builds: immutable artefacts of an app, named by the digest of their subtrees.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::AppSpec;
use crate::document::Kind;
use crate::{AppName, BuildNumber, Digest, Span, Timestamp};

/// A build as the store keeps it (`apps/<app>/builds/<b>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// The app.
    pub app: AppName,
    /// Counted per app. Two builds of one source and lock have two numbers and one digest.
    pub number: BuildNumber,
    /// BLAKE3 over mount points, tree digests and [`AppSpec`]: the same input gives the same digest.
    pub digest: Digest,
    /// The parts, mounted in this order (a mount below another comes after it).
    pub subtrees: Vec<Subtree>,
    /// What runs.
    pub spec: AppSpec,
    /// Where it came from.
    pub source: SourceInfo,
    /// `CPython 3.11.2 /usr/bin/python3.11`, where Python is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// `Node 20.19.2 /usr/bin/node`, where the app runs or is built with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Name → version of the Python packages in it: what an unpinned requirement came to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, String>,
    /// When it was finished.
    pub created: Timestamp,
    /// How long it took.
    pub duration: Span,
    /// What people should know: uncommitted files, debug left on, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What was taken for granted, each with the key that says otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Build {
    /// A build of which nothing is known but what it is and when it was made.
    #[must_use]
    pub fn new(app: AppName, number: BuildNumber, digest: Digest, created: Timestamp) -> Self {
        Self {
            app,
            number,
            digest,
            subtrees: Vec::new(),
            spec: AppSpec::default(),
            source: SourceInfo::default(),
            interpreter: None,
            node: None,
            packages: BTreeMap::new(),
            created,
            duration: Span::millis(0),
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Kind for Build {
    const KIND: &'static str = "build/3";
}

/// One part of a build: a tree and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtree {
    /// `app`, `dependencies` or `static`.
    pub name: String,
    /// Absolute path in the instance: `/app`, `/app/.venv`, `/app/staticfiles`.
    pub mount: String,
    /// Digest of the root tree.
    pub tree: Digest,
    /// Sum of the sizes of its files in bytes.
    pub bytes: u64,
    /// Number of files.
    pub files: u64,
}

/// Where a build's source came from, as its sender tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Where the server fetched it from, without a password; none: a client sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Branch, tag or commit as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Folder below the top whose app is meant, where the whole repository was sent; none: what is at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Commit hash, where the folder is in a git work tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Branch, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// First line of the commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Paths below the folder that differ from the commit, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncommitted: Vec<String>,
}
