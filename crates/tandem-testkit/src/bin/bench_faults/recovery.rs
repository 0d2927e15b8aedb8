//! A start with a long history beside one with a short history: the server killed, and the time until everything answers.

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tandem_kit::clock::Clock;
use tandem_store::{Expect, JournalQuery, SharedStore, Transaction, sqlite};
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::bench::aims::Part;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{section, spread, table};
use tandem_testkit::installation::Installation;
use tandem_types::document::{Cause, Document};
use tandem_types::{AppName, BuildNumber, EnvironmentName, ReleaseNumber, RolloutNumber, defaults, keys};

use crate::Plan;
use crate::ground::{Ground, PLAIN};

/// What is kept of finished rollouts and of releases that nobody needs.
const LISTED: u64 = if defaults::LISTED_ROLLOUTS > defaults::LISTED_RELEASES {
    defaults::LISTED_ROLLOUTS as u64
} else {
    defaults::LISTED_RELEASES as u64
};

/// Transactions that wait for one sync together, so that the history is written in minutes.
const TOGETHER: usize = 64;

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, ground: &Ground) -> anyhow::Result<Part> {
    let mut short = with_plain(plan, ground)?;
    let mut long = with_plain(plan, ground)?;
    say(&format!("writing {} releases into the journal", plan.history));
    long.end(Signal::SIGTERM);
    let entries = fill(&long, plan.history)?;
    long.start_again();
    let clock = Clock::system();
    let (mut times_short, mut times_long) = (Vec::new(), Vec::new());
    for run in 0..plan.starts {
        say(&format!("start {} of {} with each history", run + 1, plan.starts));
        for (installation, times) in [(&mut short, &mut times_short), (&mut long, &mut times_long)] {
            installation.end(Signal::SIGKILL);
            let begin = clock.monotonic();
            installation.start_again();
            times.push(clock.monotonic().elapsed_since(begin).as_secs_f64());
        }
    }
    let size = |installation: &Installation| {
        let bytes =
            std::fs::metadata(installation.data().database()).map(|about| about.len()).unwrap_or_default();
        format!("{:.1}", bytes as f64 / 1e6)
    };
    let text = format!(
        "The server is killed and started again, {} times in turn with each history, one small app running. The long history was \
         written through the store as {} deploys write it, {entries} transactions in all; of them the latest {LISTED} \
         releases, builds and rollouts are documents still, as housekeeping leaves them, and all are in the journal. Time from the start of \
         `tandem up` to its ready file: API, runner and balancer answer.",
        plan.starts, plan.history
    );
    let rows = [
        vec!["1".to_owned(), size(&short), spread(&times_short, 2)],
        vec![plan.history.to_string(), size(&long), spread(&times_long, 2)],
    ];
    short.finish();
    long.finish();
    let head = ["releases in the journal", "store, MB", "ready, s"];
    let text = section("Recovery with a long history", &text) + &table(&head, &rows);
    Ok(Part { text, aims: Vec::new(), failed: 0 })
}

fn with_plain(plan: &Plan, ground: &Ground) -> anyhow::Result<Installation> {
    let mut installation = ground.installation(plan)?;
    installation.start_again();
    installation.deploy(AppFolder::fixture(PLAIN).path());
    Ok(installation)
}

/// Writes releases up to this number; how many transactions the journal has then.
fn fill(installation: &Installation, history: u64) -> anyhow::Result<usize> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stories = installation.data().rollouts().join(format!("{PLAIN}.production"));
    for number in history.saturating_sub(LISTED).max(1) + 1..=history {
        let story = stories.join(format!("{number}.ndjson"));
        std::fs::copy(stories.join("1.ndjson"), story).context("copy the story of the first rollout")?;
    }
    runtime.block_on(async {
        let store = sqlite::open(installation.data().database(), Clock::system()).await?;
        let history = History::read(&store).await?.written(&store, history).await;
        history.context("write the history")?;
        Ok(store.journal(JournalQuery::default()).await?.len())
    })
}

/// What the first deploy wrote, which all others repeat.
struct History {
    app: AppName,
    environment: EnvironmentName,
    documents: [Value; 5],
    /// Transactions of one rollout.
    steps: usize,
}

impl History {
    async fn read(store: &SharedStore) -> anyhow::Result<Self> {
        let (app, environment): (AppName, EnvironmentName) = (PLAIN.parse()?, "production".parse()?);
        let keys = [
            keys::app(&app),
            keys::environment(&app, &environment),
            keys::build(&app, BuildNumber(1)),
            keys::release(&app, &environment, ReleaseNumber(1)),
            keys::rollout(&app, &environment, RolloutNumber(1)),
        ];
        let mut documents = Vec::new();
        for key in keys {
            documents.push(store.get(&key).await?.with_context(|| format!("find {key}"))?);
        }
        let rollout = documents[4].key.clone();
        let journal = store.journal(JournalQuery::default()).await?;
        let steps = journal.iter().filter(|entry| entry.keys.contains(&rollout)).count();
        let documents = documents.iter().map(stored).collect::<Vec<_>>();
        let documents = documents.try_into().ok().context("five documents were read")?;
        Ok(Self { app, environment, documents, steps })
    }

    async fn written(self, store: &SharedStore, history: u64) -> anyhow::Result<()> {
        let steps = (2..=history).flat_map(|number| (0..self.steps).map(move |step| (number, step)));
        let all = stream::iter(steps).map(|(number, step)| store.transact(self.step(number, step)));
        all.buffered(TOGETHER).try_for_each(|_| async { Ok(()) }).await?;
        let [app, environment, ..] = &self.documents;
        let next = |document: &Value, changes: &[(&str, String)]| {
            let mut document = document.clone();
            changes.iter().for_each(|(name, value)| document["body"][*name] = json!(value));
            document
        };
        let number = history + 1;
        let app = next(app, &[("next_build", format!("b{number}"))]);
        let release = ("next_release", format!("r{number}"));
        let environment = next(environment, &[release, ("next_rollout", format!("ro{number}"))]);
        let write = Transaction::new(self.cause("environment.upkeep"));
        let write = put(put(write, keys::app(&self.app), &app), self.environment_key(), &environment);
        store.transact(write).await?;
        Ok(())
    }

    /// One transaction of a deploy: the rollout moves on; with the first ones come its build and its release, and what
    /// housekeeping would have dropped goes.
    fn step(&self, number: u64, step: usize) -> Transaction {
        let [_, _, build, release, rollout] = &self.documents;
        let changed = |document: &Value, changes: &[(&str, &str)]| {
            let mut document = document.clone();
            changes
                .iter()
                .for_each(|(name, prefix)| document["body"][*name] = json!(format!("{prefix}{number}")));
            document
        };
        let write = Transaction::new(self.cause(if step == 0 { "deploy.start" } else { "rollout.step" }));
        let rollout = changed(rollout, &[("number", "ro"), ("build", "b"), ("to", "r")]);
        let write = put(write, self.rollout_key(number), &rollout);
        match step {
            1 => {
                let mut release = changed(release, &[("number", "r"), ("build", "b"), ("rollout", "ro")]);
                release["body"]["status"] = json!("superseded");
                let write = put(write, self.build_key(number), &changed(build, &[("number", "b")]));
                put(write, self.release_key(number), &release)
            }
            2 if number > LISTED + 1 => {
                let old = number - LISTED;
                let keys = [self.build_key(old), self.release_key(old), self.rollout_key(old)];
                keys.into_iter().fold(write, |write, key| write.delete(key, Expect::Any))
            }
            _ => write,
        }
    }

    fn environment_key(&self) -> String {
        keys::environment(&self.app, &self.environment)
    }

    fn build_key(&self, number: u64) -> String {
        keys::build(&self.app, BuildNumber(number))
    }

    fn release_key(&self, number: u64) -> String {
        keys::release(&self.app, &self.environment, ReleaseNumber(number))
    }

    fn rollout_key(&self, number: u64) -> String {
        keys::rollout(&self.app, &self.environment, RolloutNumber(number))
    }

    fn cause(&self, action: &str) -> Cause {
        Cause {
            actor: "unix:root".to_owned(),
            action: action.to_owned(),
            reason: String::new(),
            subject: format!("{}/{}", self.app, self.environment),
        }
    }
}

fn stored(document: &Document) -> Value {
    json!({"kind": document.kind, "body": document.body})
}

fn put(write: Transaction, key: String, document: &Value) -> Transaction {
    let kind = document["kind"].as_str().expect("a stored document has a kind");
    write.put_value(key, (kind, document["body"].clone()), Expect::Any)
}
