//! Hosts that sources were fetched from over SSH, and how one is trusted anew that shows another key.

use tandem_store::{Error, Transaction};
use tandem_types::document::Cause;
use tandem_types::git::{GitHosts, PinnedHost};
use tandem_types::keys;
use tandem_types::problem::Problem;

use crate::handle::Handle;
use crate::problem;
use crate::shared::MOST_ATTEMPTS;

impl Handle {
    /// Hosts that are known, with their keys.
    #[must_use]
    pub fn git_hosts(&self) -> GitHosts {
        self.shared.value::<GitHosts>(keys::GIT_HOSTS).map(|hosts| (*hosts).clone()).unwrap_or_default()
    }

    /// Forgets the key of a host, so that the next fetch pins the one that it shows then. Returns what was known.
    ///
    /// # Errors
    /// `git_host_not_found`.
    pub async fn forget_git_host(&self, actor: &str, host: &str) -> Result<PinnedHost, Problem> {
        for _ in 0..MOST_ATTEMPTS {
            let stored = self.shared.get::<GitHosts>(keys::GIT_HOSTS);
            let mut hosts = stored.as_ref().map(|stored| (*stored.value).clone()).unwrap_or_default();
            let (Some(forgotten), Some(stored)) = (hosts.hosts.remove(host), stored) else {
                return Err(not_found(host, &hosts));
            };
            let cause = Cause {
                actor: actor.to_owned(),
                action: "key.trust".to_owned(),
                reason: format!("the key of {host} is pinned anew"),
                subject: String::new(),
            };
            let transaction =
                Transaction::new(cause).put(keys::GIT_HOSTS.to_owned(), &hosts, stored.unchanged());
            match self.shared.commit(transaction).await {
                Ok(_) => return Ok(forgotten),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("forget the key of a host", &error)),
            }
        }
        Err(Problem::new(503, "busy", "keys of hosts are being changed by others all the time")
            .hint("try again"))
    }
}

fn not_found(host: &str, known: &GitHosts) -> Problem {
    let names: Vec<_> = known.hosts.keys().map(String::as_str).collect();
    let title = format!("no source was fetched from {host} over SSH");
    let problem = Problem::new(404, "git_host_not_found", title);
    match names.as_slice() {
        [] => problem.hint("its key is pinned at the first fetch: `tandem deploy git@HOST:PATH`"),
        names => problem.hint(format!("known hosts are {}", names.join(", "))),
    }
}
