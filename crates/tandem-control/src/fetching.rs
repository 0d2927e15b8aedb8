//! A source that the server fetches: with the app's key, from hosts that are known, and hosts that are met for the first
//! time are pinned.
//!
//! The commit is not written down before it is built: a server that dies in between fetches again, and may get a later
//! one of the same branch. Nobody was promised the earlier.

use std::sync::Arc;

use tandem_build::git::{self, FetchRequest, KeyPair, Pin};
use tandem_store::{Error, Expect, Transaction};
use tandem_types::AppName;
use tandem_types::document::Cause;
use tandem_types::event::Event;
use tandem_types::git::{DeployKey, GitHosts, GitSource, PinnedHost};
use tandem_types::keys;
use tandem_types::problem::Problem;
use tandem_types::rollout::Source;

use crate::builder::Events;
use crate::problem;
use crate::shared::{MOST_ATTEMPTS, Shared};

/// Who the journal says did it.
const ACTOR: &str = "system:rollouts";

impl Shared {
    /// Fetches a source into the blob store.
    pub(crate) async fn fetch_source(
        &self,
        (app, uid): (&AppName, u32),
        source: GitSource,
        events: &Events,
    ) -> Result<Source, Problem> {
        let (app, timeout) = (app.clone(), git::TIMEOUT);
        let (key, known_hosts) = (self.key_of(&app)?, self.known_hosts());
        let request = FetchRequest { app, source, uid, key, known_hosts, timeout };
        let attempt = self.builder.fetch(request, Arc::clone(events)).await;
        // Also where it failed behind that: who is asked to add a key next is to meet the same host again.
        self.pin_hosts(attempt.pins, events).await;
        let fetched = attempt.result.map_err(|error| error.to_problem())?;
        for text in fetched.warnings {
            events(Event::Warning { text });
        }
        Ok(Source { tree: fetched.tree, info: fetched.info })
    }

    fn key_of(&self, app: &AppName) -> Result<Option<KeyPair>, Problem> {
        let Some(key) = self.value::<DeployKey>(&keys::deploy_key(app)) else { return Ok(None) };
        let opened = self.keyring.open_value(&key.private).map_err(|error| {
            problem::internal(&format!("open the deploy key of {app}"), &error).hint(format!(
                "restore keys/secrets.key of the data folder from a backup, or `tandem key remove --app {app}` and make \
                 a new one"
            ))
        });
        opened.map(|private| Some(KeyPair { private, public: key.public.clone() }))
    }

    fn known_hosts(&self) -> Vec<String> {
        let hosts = self.value::<GitHosts>(keys::GIT_HOSTS).unwrap_or_default();
        let lines = hosts
            .hosts
            .iter()
            .flat_map(|(host, pinned)| pinned.keys.iter().map(move |key| format!("{host} {key}")));
        lines.collect()
    }

    /// A pin that cannot be written is told: the next fetch would meet the host as a stranger again.
    async fn pin_hosts(&self, pins: Vec<Pin>, events: &Events) {
        if pins.is_empty() {
            return;
        }
        for pin in &pins {
            let fingerprint = git::fingerprint_of(&pin.key).unwrap_or_default();
            let text = format!(
                "{} was met for the first time: its key {fingerprint} is trusted from now on",
                pin.host
            );
            events(Event::Warning { text });
        }
        if let Err(problem) = self.write_pins(&pins).await {
            tracing::warn!("host keys of git are not kept: {}", problem.title);
        }
    }

    async fn write_pins(&self, pins: &[Pin]) -> Result<(), Problem> {
        for _ in 0..MOST_ATTEMPTS {
            let stored = self.get::<GitHosts>(keys::GIT_HOSTS);
            let mut hosts = stored.as_ref().map(|stored| (*stored.value).clone()).unwrap_or_default();
            for pin in pins {
                let new = PinnedHost { keys: Vec::new(), pinned: self.now() };
                let host = hosts.hosts.entry(pin.host.clone()).or_insert(new);
                if !host.keys.contains(&pin.key) {
                    host.keys.push(pin.key.clone());
                }
            }
            let expect = stored.map_or(Expect::Absent, |stored| stored.unchanged());
            let transaction = Transaction::new(about(pins)).put(keys::GIT_HOSTS.to_owned(), &hosts, expect);
            match self.commit(transaction).await {
                Ok(_) => return Ok(()),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("pin keys of hosts", &error)),
            }
        }
        Err(Problem::new(503, "busy", "keys of hosts are being changed by others all the time"))
    }
}

fn about(pins: &[Pin]) -> Cause {
    let one = |pin: &Pin| format!("{} {}", pin.host, git::fingerprint_of(&pin.key).unwrap_or_default());
    Cause {
        actor: ACTOR.to_owned(),
        action: "key.pin".to_owned(),
        reason: pins.iter().map(one).collect::<Vec<_>>().join(", "),
        subject: String::new(),
    }
}
