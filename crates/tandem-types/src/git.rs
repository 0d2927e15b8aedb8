//! Sources that the server fetches itself: where from, with which key, and which hosts it knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::Kind;
use crate::environment::Sealed;
use crate::{AppName, Timestamp};

/// A git repository and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitSource {
    /// `https://HOST/PATH`, `ssh://USER@HOST/PATH` or `USER@HOST:PATH`; never with a password.
    pub url: String,
    /// Branch, tag, full name of a reference or whole hash of a commit; none: the branch that the repository names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Folder below the top whose app is meant; none: what is at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// The key with which an app's source is fetched over SSH, as the store keeps it (`git/keys/<app>`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployKey {
    /// Whose.
    pub app: AppName,
    /// As it is added at the repository's host: `ssh-ed25519 AAAA… tandem:APP`.
    pub public: String,
    /// `SHA256:…`, as hosts show it.
    pub fingerprint: String,
    /// The private half, in the format of OpenSSH.
    pub private: Sealed,
    /// When it was made.
    pub created: Timestamp,
}

impl Kind for DeployKey {
    const KIND: &'static str = "deploy-key/1";
}

/// What everybody may see of a deploy key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    /// Whose.
    pub app: AppName,
    /// As it is added at the repository's host.
    pub public: String,
    /// `SHA256:…`, as hosts show it.
    pub fingerprint: String,
    /// When it was made.
    pub created: Timestamp,
}

impl From<&DeployKey> for PublicKey {
    fn from(key: &DeployKey) -> Self {
        let DeployKey { app, public, fingerprint, private: _, created } = key.clone();
        Self { app, public, fingerprint, created }
    }
}

/// Keys of the hosts that sources were fetched from over SSH (`git/hosts`): pinned at the first use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GitHosts {
    /// `HOST`, or `[HOST]:PORT` where the port is not 22, → its keys.
    pub hosts: BTreeMap<String, PinnedHost>,
}

impl Kind for GitHosts {
    const KIND: &'static str = "git-hosts/1";
}

/// A host with the keys that it had when it was met first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedHost {
    /// `ssh-ed25519 AAAA…`, as in a `known_hosts` file.
    pub keys: Vec<String>,
    /// When it was met first.
    pub pinned: Timestamp,
}
