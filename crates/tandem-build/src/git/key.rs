//! A deploy key: made by OpenSSH's own program in the runtime folder, which is in memory and gone with a reboot. Where
//! the private half is kept is left to the caller; here it is on no disk.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tandem_kit::files;
use tandem_kit::paths::DataDir;
use tandem_sandbox::tool::{self, Tool};
use tandem_types::problem::Problem;
use tandem_types::{AppName, Span};

use super::programs;

/// Milliseconds as a rule; a machine that has just started may want for randomness.
const TIME: Span = Span::seconds(30);

/// What the names of folders with a key begin with; behind it the process and a number.
const PREFIX: &str = "key-";
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Both halves of a key. Printing it shows the public one.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// In the format of OpenSSH, with its last line end.
    pub private: String,
    /// `ssh-ed25519 AAAA… tandem:APP`.
    pub public: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// Why there is no key. Fits after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// `ssh-keygen` is not there.
    #[error("find ssh-keygen")]
    Missing,
    /// It failed.
    #[error("make a key")]
    Tool(#[from] tool::Error),
    /// The runtime folder does not take it.
    #[error("keep a key for a moment")]
    Files(#[from] files::Error),
    /// What it made cannot be read.
    #[error("read the key that was made")]
    Read(#[source] std::io::Error),
}

impl KeyError {
    /// The failure as people get it.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::Missing => super::error::ssh_missing(),
            _ => Problem::new(500, "key_failed", format!("failed to {}", tandem_kit::error::chain(self)))
                .hint("`tandem status` says how the server is; then try again"),
        }
    }
}

/// Makes an ed25519 key (RFC 8032) for an app.
///
/// # Errors
/// See [`KeyError`].
pub async fn create_key(data: &DataDir, app: &AppName) -> Result<KeyPair, KeyError> {
    let program = programs::find("ssh-keygen").ok_or(KeyError::Missing)?;
    remove_leftovers(data.runtime());
    // Two that are asked for at once are two keys.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = data.runtime().join(format!("{PREFIX}{}-{number}", std::process::id()));
    files::ensure_dir(&folder, 0o700)?;
    let comment = format!("tandem:{app}");
    let call = Tool::new(program).args(["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f"]);
    let made = call.arg(folder.join("key")).run_ok(TIME).await;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(KeyError::Read);
    let pair = made
        .map_err(KeyError::Tool)
        .and_then(|_| Ok(KeyPair { private: read("key")?, public: read("key.pub")?.trim_end().to_owned() }));
    remove(&folder);
    pair
}

/// Folders of a process that was killed: only one at a time serves a data folder.
fn remove_leftovers(runtime: &Path) {
    let own = format!("{PREFIX}{}-", std::process::id());
    for entry in std::fs::read_dir(runtime).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) && !name.starts_with(&own) {
            remove(&entry.path());
        }
    }
}

fn remove(folder: &Path) {
    match files::remove_tree(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::error!(%error, "cannot remove {}, which holds a private key", folder.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_made_and_nothing_of_it_stays() {
        let folder = tempfile::tempdir().expect("there is room");
        let data = DataDir::open(&folder.path().join("data")).expect("a new folder");
        let app = "shop".parse().expect("a name");
        let left = data.runtime().join("key-1-0");
        files::ensure_dir(&left, 0o700).expect("a new folder");
        let (one, other) = tokio::join!(create_key(&data, &app), create_key(&data, &app));
        let one = one.expect("a key");
        assert!(one.public.starts_with("ssh-ed25519 ") && one.public.ends_with(" tandem:shop"), "{one:?}");
        assert!(
            one.private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n") && one.private.ends_with('\n')
        );
        assert!(!format!("{one:?}").contains("BEGIN"));
        assert_ne!(one, other.expect("another key"));
        let left = std::fs::read_dir(data.runtime()).expect("a folder").flatten();
        assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(PREFIX)));
        data.remove_runtime().expect("it can be removed");
    }
}
