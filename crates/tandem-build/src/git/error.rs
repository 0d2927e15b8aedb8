//! Why a source was not fetched, in the words people get.

use tandem_types::problem::Problem;
use tandem_types::{AppName, Span};

use super::{Refused, lfs};

/// Lines of git's that a failure shows.
const LINES_SHOWN: usize = 10;

/// Why there is no source. Each has a stable code; see [`Error::to_problem`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL or the reference is not fetched.
    #[error("fetch the source")]
    Refused(#[from] Refused),
    /// git is not on the server.
    #[error("find git")]
    GitMissing,
    /// ssh is not on the server.
    #[error("find ssh")]
    SshMissing,
    /// Nobody answered, or not as a git server.
    #[error("reach {url}")]
    Unreachable {
        /// Of which repository.
        url: String,
        /// git's last lines.
        lines: Vec<String>,
    },
    /// The repository is not there, or nobody may read it without being known.
    #[error("read {url}")]
    Denied {
        /// Of which repository.
        url: String,
        /// The same over SSH, where it was asked for over HTTPS.
        over_ssh: Option<String>,
        /// Which app it is for.
        app: AppName,
        /// The app's key, where it has one.
        public: Option<String>,
        /// git's last lines.
        lines: Vec<String>,
    },
    /// The host shows another key than it did.
    #[error("trust {host}: it shows another key than before")]
    HostKeyChanged {
        /// As a `known_hosts` file names it.
        host: String,
        /// Fingerprints of what is pinned.
        pinned: Vec<String>,
        /// Fingerprint of what it shows now.
        shown: Option<String>,
    },
    /// No branch or tag is called so.
    #[error("find {reference} in {url}")]
    RefMissing {
        /// Of which repository.
        url: String,
        /// What was asked for; empty: the branch that the repository names.
        reference: String,
        /// What it could have been.
        near: Vec<String>,
        /// It looks like the beginning of a hash.
        is_short_hash: bool,
    },
    /// A commit that the repository does not have, or does not give.
    #[error("find the commit {commit} in {url}")]
    CommitMissing {
        /// Of which repository.
        url: String,
        /// Its hash.
        commit: String,
    },
    /// A repository whose objects are named by SHA-256.
    #[error("fetch {url}: its objects are named by SHA-256")]
    Sha256 {
        /// Of which repository.
        url: String,
    },
    /// More than a fetch may bring.
    #[error("fetch {url}: it is larger than {} MiB", limit >> 20)]
    TooLarge {
        /// Of which repository.
        url: String,
        /// In bytes.
        limit: u64,
    },
    /// A submodule was not fetched.
    #[error("fetch the submodule {path}")]
    Submodule {
        /// Where it is in the source.
        path: String,
        /// Why not.
        #[source]
        source: Box<Error>,
    },
    /// More submodules, or deeper ones, than a source has.
    #[error("fetch the submodules: {0}")]
    TooManySubmodules(&'static str),
    /// Something that no source may hold: a link that leads out of it, a name that is not UTF-8.
    #[error("take {path}: {reason}")]
    Unfit {
        /// Where it is in the source.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Pointers of Git LFS in place of files.
    #[error("take the source: {} files are pointers of Git LFS", .0.len())]
    Lfs(Vec<String>),
    /// git failed for another reason.
    #[error("{doing}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// Its last lines.
        lines: Vec<String>,
    },
    /// It took too long.
    #[error("fetch {url} within {limit}")]
    TimedOut {
        /// Of which repository.
        url: String,
        /// The budget.
        limit: Span,
    },
    /// What builds share: sandbox, disk, blob store, limits.
    #[error(transparent)]
    Build(#[from] crate::Error),
}

impl Error {
    /// The failure as people get it.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::Refused(refused) => refused.to_problem(),
            Self::GitMissing => Problem::new(422, "git_missing", "git, which fetches sources, is missing on the server")
                .hint("type this on the server: apt-get install -y git"),
            Self::SshMissing => ssh_missing(),
            Self::Unreachable { url, lines } => {
                problem("git_unreachable", format!("{url} cannot be reached from the server"), lines)
                    .hint(unreachable_hint(url, lines))
            }
            Self::Denied { .. } | Self::HostKeyChanged { .. } => self.to_problem_of_trust(),
            Self::RefMissing { url, reference, near, is_short_hash } => {
                ref_missing(url, reference, near, *is_short_hash)
            }
            Self::CommitMissing { url, commit } => {
                let title = format!("{url} has no commit {commit}, or does not give it");
                Problem::new(422, "git_ref_missing", title)
                    .hint("push it to a branch, and deploy that: `tandem deploy URL --ref BRANCH`")
            }
            Self::Sha256 { url } => {
                let title = format!("{url} names its commits by SHA-256, and the server fetches by SHA-1 only");
                Problem::new(422, "git_sha256", title).hint("send the source from a clone: `tandem deploy PATH --ref REF`")
            }
            Self::TooLarge { url, limit } => {
                let title = format!("{url} is larger than the {} MiB that a fetch may bring", limit >> 20);
                Problem::new(422, "git_too_large", title).hint(
                    "keep large files out of the repository; or send what is needed of it: `tandem deploy PATH` in a clone",
                )
            }
            Self::Submodule { path, source } => {
                let problem = source.to_problem();
                let title = format!("the submodule {path}: {}", problem.title);
                Problem { title, ..problem }
            }
            Self::TooManySubmodules(why) => {
                Problem::new(422, "git_submodules", format!("the submodules are not fetched: {why}"))
                    .hint("`git submodule status --recursive` in a clone lists them; `tandem deploy PATH` there sends them")
            }
            Self::Unfit { path, reason } => Problem::new(422, "source_refused", format!("{path} is not taken: {reason}"))
                .hint(format!("replace {path} by what it leads to, or rename it; commit, and deploy that")),
            Self::Lfs(paths) => lfs::problem(paths),
            Self::Failed { doing, lines } => problem("git_failed", format!("failed to {doing}"), lines)
                .hint("the lines above are git's; `git clone` of the same URL says more"),
            Self::TimedOut { url, limit } => {
                Problem::new(422, "git_timeout", format!("{url} was not fetched within {limit}"))
                    .hint("deploy again; or send the source from a clone: `tandem deploy PATH --ref REF`")
            }
            Self::Build(error) => error.to_problem(),
        }
    }

    fn to_problem_of_trust(&self) -> Problem {
        match self {
            Self::Denied { url, over_ssh: Some(ssh), app, lines, .. } => {
                let title = format!("{url} is not there, or it may not be read by everybody");
                problem("git_denied", title, lines).hint(format!(
                    "a private repository is fetched over SSH: `tandem key create --app {app}`, add what that prints to \
                     the repository as a deploy key that may only read, then `tandem deploy {ssh} --app {app}`"
                ))
            }
            Self::Denied { url, app, public: None, lines, .. } => {
                let title = format!("{url} may not be read: {app} has no deploy key");
                problem("git_denied", title, lines).hint(format!(
                    "type `tandem key create --app {app}`, add what that prints to the repository as a deploy key that \
                     may only read, then deploy again"
                ))
            }
            Self::Denied { url, app, public: Some(public), lines, .. } => {
                let title = format!("{url} may not be read with the deploy key of {app}");
                problem("git_denied", title, lines).hint(format!(
                    "add this key to the repository, as a deploy key that may only read, then deploy again: {public}"
                ))
            }
            Self::HostKeyChanged { host, pinned, shown } => {
                let shown = shown.as_deref().unwrap_or("unknown");
                let title = format!("{host} shows another key than when it was met first");
                Problem::new(422, "git_host_key_changed", title)
                    .detail(format!("known: {}\nshown: {shown}", pinned.join(", ")))
                    .hint(format!(
                        "somebody may be in between. Compare what it shows with what the host's own pages say; where that \
                         is right, type `tandem key trust {host}` and deploy again"
                    ))
            }
            _ => unreachable!("only refusals of trust come here"),
        }
    }
}

/// What helps depends on how far it came: to no address, to nobody there, or past the proxy that is the only way out.
fn unreachable_hint(url: &str, lines: &[String]) -> String {
    let says = |words: &str| lines.iter().any(|line| line.contains(words));
    let loopback = "where the host is on this machine's own loopback, start `tandem up` with \
                    TANDEM_BUILD_LOOPBACK=HOST:PORT";
    if says("Could not resolve host") || says("Name or service not known") {
        let proxy =
            if url.starts_with("https://") { "; behind a proxy, set HTTPS_PROXY for Tandem" } else { "" };
        return format!(
            "the server knows no address of that host: is it spelled right? `getent hosts HOST` on the server asks the \
             same{proxy}. Or send the source from a clone: `tandem deploy PATH --ref REF`"
        );
    }
    match url.starts_with("https://") {
        true => format!(
            "the lines above are git's; if there is a proxy, set HTTPS_PROXY for Tandem; {loopback}. Or send the \
             source from a clone: `tandem deploy PATH --ref REF`"
        ),
        false => format!(
            "the lines above are ssh's; {loopback}. Or send the source from a clone: `tandem deploy PATH --ref REF`"
        ),
    }
}

/// Also of a key that cannot be made.
pub(super) fn ssh_missing() -> Problem {
    Problem::new(
        422,
        "ssh_missing",
        "the SSH client, by which private sources are fetched, is missing on the server",
    )
    .hint("type this on the server: apt-get install -y openssh-client")
}

fn ref_missing(url: &str, reference: &str, near: &[String], is_short_hash: bool) -> Problem {
    if reference.is_empty() {
        return Problem::new(
            422,
            "git_ref_missing",
            format!("{url} is empty, or names no branch as its own"),
        )
        .hint("push a commit, or name a branch: `tandem deploy URL --ref BRANCH`");
    }
    let problem = Problem::new(422, "git_ref_missing", format!("{url} has no branch or tag {reference}"));
    match near {
        _ if is_short_hash => {
            problem.hint("a commit is named by its whole hash: `git rev-parse SHORT` prints it")
        }
        [] => problem.hint("tandem deploy URL --ref BRANCH"),
        near => problem.hint(format!("it has {}", near.join(", "))),
    }
}

fn problem(code: &str, title: String, lines: &[String]) -> Problem {
    let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    Problem::new(422, code, title).detail(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(over_ssh: Option<&str>, public: Option<&str>) -> Problem {
        Error::Denied {
            url: "git@h:x".to_owned(),
            over_ssh: over_ssh.map(str::to_owned),
            app: "shop".parse().expect("a name"),
            public: public.map(str::to_owned),
            lines: Vec::new(),
        }
        .to_problem()
    }

    #[test]
    fn who_may_not_read_is_told_the_key_to_add_or_how_to_get_one() {
        assert!(denied(None, Some("ssh-ed25519 AAAA")).hint.ends_with("deploy again: ssh-ed25519 AAAA"));
        assert!(denied(None, None).hint.contains("tandem key create --app shop"));
        assert!(denied(Some("git@h:x"), None).hint.contains("tandem deploy git@h:x --app shop"));
    }

    #[test]
    fn a_submodule_is_named_with_the_code_of_what_went_wrong() {
        let refused = Error::Refused(Refused::Scheme("file".to_owned()));
        let problem = Error::Submodule { path: "theme".to_owned(), source: Box::new(refused) }.to_problem();
        assert_eq!(problem.code, "git_url_refused");
        assert_eq!(problem.title, "the submodule theme: sources are not fetched by `file`");
    }
}
