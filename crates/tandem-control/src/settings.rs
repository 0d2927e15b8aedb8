//! `config list|set|unset`: values sealed before they reach the store, names and digests for everybody else.

use std::collections::BTreeSet;
use std::sync::Arc;

use tandem_kit::env;
use tandem_kit::points::{self, Point};
use tandem_rules::config::differences;
use tandem_store::{Error, Transaction};
use tandem_types::RolloutNumber;
use tandem_types::api::{ConfigChange, ConfigChanged, ConfigListing, ConfigValue};
use tandem_types::environment::{Config, Environment, Sealed};
use tandem_types::keys;
use tandem_types::problem::Problem;
use tandem_types::release::Release;
use tandem_types::rollout::{RolloutKind, RolloutState};

use crate::handle::Handle;
use crate::mirror::{Mirror, Versioned};
use crate::place::Place;
use crate::problem;
use crate::shared::{MOST_ATTEMPTS, cause};
use crate::start::{Ask, busy};

/// Longest value, in bytes: the kernel refuses longer single strings of an environment.
const LONGEST_VALUE: usize = 128 * 1024 - 1024;
/// Longest name, in bytes.
const LONGEST_NAME: usize = 255;

impl Handle {
    /// Config of an environment as it will be in its next release. Values only with `reveal`, which is journalled.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`; `internal` where a value cannot be opened.
    pub async fn config(&self, actor: &str, place: &Place, reveal: bool) -> Result<ConfigListing, Problem> {
        let environment = self.environment(place)?;
        if reveal {
            let note = Transaction::new(cause(actor, "config.reveal", "", place)).noted();
            let noted = self.shared.commit(note).await;
            noted.map_err(|error| problem::store("note who reads config", &error))?;
        }
        let listed = |(name, sealed): (&String, &Sealed)| {
            let value = reveal.then(|| self.open_value(name, sealed)).transpose()?;
            Ok(ConfigValue { name: name.clone(), digest: sealed.digest.clone(), value })
        };
        let values = environment.config.values.iter().map(listed).collect::<Result<_, Problem>>()?;
        Ok(ConfigListing { values, pending: self.shared.look(|mirror| pending(mirror, &environment)) })
    }

    /// Changes config. Where a release runs and something differs, a rollout brings it to the instances, unless
    /// `no_deploy`.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`, `config_name_invalid`, `config_name_reserved`,
    /// `config_value_invalid`, `config_not_found`, `rollout_in_progress` (with `no_wait`).
    pub async fn change_config(
        &self,
        actor: &str,
        place: &Place,
        change: ConfigChange,
    ) -> Result<ConfigChanged, Problem> {
        check_names(&change)?;
        for _ in 0..MOST_ATTEMPTS {
            let stored = self.stored_environment(place)?;
            let (config, changed) = self.changed_config(place, &stored.value, &change)?;
            if changed.is_empty() {
                return Ok(ConfigChanged { changed, rollout: None });
            }
            let summary = summary(&config, &changed, &change.message);
            let verb = if change.set.is_empty() { "config.unset" } else { "config.set" };
            let cause = cause(actor, verb, summary, place);
            let environment = Environment { config, ..(*stored.value).clone() };
            let stored = Versioned { value: Arc::new(environment), ..stored };
            let (transaction, rollout) = self.config_transaction(&stored, &change, cause)?;
            points::reached(Point::Entering(RolloutState::Queued)).await;
            match self.shared.commit(transaction).await {
                Ok(_) => {
                    points::reached(Point::Entered(RolloutState::Queued)).await;
                    return Ok(ConfigChanged { changed, rollout });
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("change the config", &error)),
            }
        }
        Err(busy(place))
    }

    fn config_transaction(
        &self,
        stored: &Versioned<Environment>,
        change: &ConfigChange,
        cause: tandem_types::document::Cause,
    ) -> Result<(Transaction, Option<RolloutNumber>), Problem> {
        let environment = &stored.value;
        let transaction = Transaction::new(cause.clone());
        if environment.current.is_none() || change.no_deploy {
            let key = keys::environment(&environment.app, &environment.name);
            return Ok((transaction.put(key, &**environment, stored.unchanged()), None));
        }
        let ask = Ask::new(RolloutKind::Config, cause, change.no_wait);
        let (transaction, number) = self.with_rollout(stored, &ask, transaction)?;
        Ok((transaction, Some(number)))
    }

    /// The config after the change, and the names that differ.
    fn changed_config(
        &self,
        place: &Place,
        environment: &Environment,
        change: &ConfigChange,
    ) -> Result<(Config, Vec<String>), Problem> {
        let mut config = environment.config.clone();
        for name in &change.unset {
            if config.values.remove(name).is_none() {
                return Err(not_found(place, name, &environment.config));
            }
        }
        for (name, value) in &change.set {
            let digest = self.shared.keyring.digest(value);
            if config.values.get(name).is_some_and(|known| known.digest == digest) {
                continue;
            }
            let sealed = self.shared.keyring.seal(value);
            let sealed = sealed.map_err(|error| problem::internal("seal a config value", &error))?;
            config.values.insert(name.clone(), sealed);
        }
        let changed = differences(&environment.config, &config);
        Ok((config, changed))
    }

    pub(crate) fn open_value(&self, name: &str, sealed: &Sealed) -> Result<String, Problem> {
        let opened = self.shared.keyring.open_value(sealed);
        opened.map_err(|error| {
            problem::internal(&format!("open the config value {name}"), &error)
                .hint("restore keys/secrets.key of the data folder from a backup, or set the value again")
        })
    }
}

/// Names that differ between the next release and the one that serves.
pub(crate) fn pending(mirror: &Mirror, environment: &Environment) -> Vec<String> {
    let release =
        |number| mirror.value::<Release>(&keys::release(&environment.app, &environment.name, number));
    let serving = environment.current.and_then(release);
    serving.map_or_else(Vec::new, |release| differences(&release.config, &environment.config))
}

/// What the journal says: names and digests, never values.
fn summary(config: &Config, changed: &[String], message: &str) -> String {
    let one = |name: &String| match config.values.get(name) {
        Some(sealed) => format!("{name}={}…", sealed.digest),
        None => format!("{name} unset"),
    };
    let list = changed.iter().map(one).collect::<Vec<_>>().join(", ");
    if message.is_empty() { list } else { format!("{message} ({list})") }
}

fn check_names(change: &ConfigChange) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for name in change.set.keys().chain(&change.unset) {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain
            || name.is_empty()
            || name.len() > LONGEST_NAME
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            let title = format!("{name:?} is no name for a config value");
            return Err(Problem::new(422, "config_name_invalid", title)
                .hint("use letters, digits and underscores, such as DATABASE_URL"));
        }
        if name.starts_with("TANDEM_") || [env::PORT, env::HOME, env::TMPDIR].contains(&name.as_str()) {
            let title = format!("{name} is set by Tandem itself");
            return Err(Problem::new(422, "config_name_reserved", title)
                .hint("choose another name; apps find these in their environment"));
        }
        if !seen.insert(name) {
            let title = format!("{name} cannot be set and unset at once");
            return Err(Problem::new(422, "config_name_invalid", title)
                .hint(format!("name {name} once, to set it or to unset it")));
        }
    }
    for (name, value) in &change.set {
        if value.contains('\0') || value.len() > LONGEST_VALUE {
            let title = format!("the value of {name} is longer than {LONGEST_VALUE} bytes or holds a NUL");
            return Err(Problem::new(422, "config_value_invalid", title));
        }
    }
    Ok(())
}

fn not_found(place: &Place, name: &str, config: &Config) -> Problem {
    let hint = match problem::nearest(name, config.values.keys().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("tandem config list {}", place.arguments()),
    };
    Problem::new(404, "config_not_found", format!("{place} has no config value {name}")).hint(hint)
}
