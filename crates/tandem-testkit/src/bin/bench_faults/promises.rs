//! What must hold after every fault, whatever was killed and whenever: asked of the installation itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tandem_testkit::connection::Question;
use tandem_testkit::wait::within;
use tandem_types::rollout::{Rollout, RolloutState};

use crate::ground::{GUESTBOOK, PLAIN, Site};
use crate::operation::{Operation, text};

/// Time in which everything has come to rest after a rollout's end.
const REST: Duration = Duration::from_secs(60);

/// Time in which an app answers, whatever else this machine does.
const ANSWER: Duration = Duration::from_secs(180);

/// What is known of the apps, to compare with.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// By app and release, what its page says.
    shown: BTreeMap<(String, String), String>,
    /// How often the release phase of the small app has run.
    phases: usize,
}

/// What was done, and what came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deed<'a> {
    pub(crate) app: &'a str,
    pub(crate) operation: Operation,
    pub(crate) number: usize,
    pub(crate) rollout: Option<&'a Rollout>,
}

impl Promises {
    /// What holds now.
    pub(crate) fn of(site: &Site) -> anyhow::Result<Self> {
        let mut promises = Self { phases: phases(site)?, ..Self::default() };
        for app in [GUESTBOOK, PLAIN] {
            promises.shown.insert((app.to_owned(), current(site, app)?), page(site, app)?);
        }
        Ok(promises)
    }

    /// Promises that were broken, each in words.
    pub(crate) fn broken(
        &mut self,
        site: &Site,
        deed: Deed<'_>,
        bystander: &Instances,
    ) -> anyhow::Result<Vec<String>> {
        let mut broken = Vec::new();
        if let Some(why) = nothing_is_left(site) {
            broken.push(why);
        }
        let other = other_than(deed.app);
        let now = Instances::of(site, other);
        if now != *bystander {
            broken.push(format!(
                "instances of {other}, which nobody touched: {bystander:?} before, {now:?} after"
            ));
        }
        broken.extend(self.wrong_page(site, deed)?);
        broken.extend(self.wrong_phases(site, deed)?);
        Ok(broken)
    }

    /// The page is that of the release which the server calls the current one.
    fn wrong_page(&mut self, site: &Site, deed: Deed<'_>) -> anyhow::Result<Option<String>> {
        let (app, release) = (deed.app.to_owned(), current(site, deed.app)?);
        let page = page(site, deed.app)?;
        let other = || self.shown.iter().any(|((app, _), shown)| app == deed.app && *shown == page);
        let right = match (self.shown.get(&(app.clone(), release.clone())), deed.operation) {
            (Some(known), _) => *known == page,
            (None, Operation::Deploy) => page == text(deed.number),
            // One that served before anybody looked.
            (None, Operation::Rollback) => true,
            (None, _) => other(),
        };
        let told = format!("{app} {release} says {page:?}");
        self.shown.entry((app, release)).or_insert(page);
        Ok((!right).then_some(told))
    }

    /// The release phase ran once for a deploy that finished, and at most once for one that did not.
    fn wrong_phases(&mut self, site: &Site, deed: Deed<'_>) -> anyhow::Result<Option<String>> {
        let (before, now) = (self.phases, phases(site)?);
        self.phases = now;
        let is_deploy = deed.app == PLAIN && deed.operation == Operation::Deploy;
        let finished = deed.rollout.is_some_and(|rollout| rollout.state == RolloutState::Completed);
        let allowed = match (is_deploy, finished) {
            (true, true) => 1..=1,
            (true, false) => 0..=1,
            (false, _) => 0..=0,
        };
        let ran = now - before;
        Ok((!allowed.contains(&ran)).then(|| format!("the release phase of {PLAIN} ran {ran} times")))
    }
}

/// Instances of an app with their restarts: whoever was not touched is the same as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instances(BTreeMap<String, u64>);

impl Instances {
    pub(crate) fn of(site: &Site, app: &str) -> Self {
        let lines = site.told(&["ps", "--json", "--app", app]);
        let lines = lines.as_array().cloned().unwrap_or_default().into_iter();
        // Warm ones end by themselves when their time is up, and draining ones when they are done.
        let lines = lines.filter(|line| ["serving", "running"].iter().any(|role| line["role"] == *role));
        let one = |line: Value| Some((line["id"].as_str()?.to_owned(), line["restarts"].as_u64()?));
        Self(lines.filter_map(one).collect())
    }
}

/// The other of the two apps.
pub(crate) fn other_than(app: &str) -> &'static str {
    if app == GUESTBOOK { PLAIN } else { GUESTBOOK }
}

/// Waits until every shim has an instance that the server knows, and every ready instance its shim.
fn nothing_is_left(site: &Site) -> Option<String> {
    let mut told = String::new();
    let rest = within(REST, || {
        let shims: BTreeSet<_> = site.shims().into_iter().map(|(name, _)| name).collect();
        let lines = [GUESTBOOK, PLAIN].map(|app| site.told(&["ps", "--json", "--app", app]));
        let lines = || lines.iter().filter_map(Value::as_array).flatten();
        let id = |line: &Value| line["id"].as_str().map(str::to_owned);
        let known: BTreeSet<_> = lines().filter_map(id).collect();
        let ready: BTreeSet<_> = lines().filter(|line| line["state"] == "ready").filter_map(id).collect();
        let (orphans, ghosts): (Vec<_>, Vec<_>) =
            (shims.difference(&known).collect(), ready.difference(&shims).collect());
        told = format!("shims {orphans:?} have no instance, ready instances {ghosts:?} have no shim");
        (orphans.is_empty() && ghosts.is_empty()).then_some(())
    });
    rest.is_none().then_some(told)
}

/// The release that the server says serves.
fn current(site: &Site, app: &str) -> anyhow::Result<String> {
    let apps = site.told(&["app", "list", "--json"]);
    let app = apps.as_array().and_then(|apps| apps.iter().find(|found| found["name"] == app).cloned());
    let app = app.context("the app is listed")?;
    app["environments"][0]["current"].as_str().map(str::to_owned).context("a release serves")
}

/// What the page of an app says, once it answers.
fn page(site: &Site, app: &str) -> anyhow::Result<String> {
    let browser = site.installation().site(&format!("{app}.localhost"));
    let mut last = String::new();
    let heading = within(ANSWER, || {
        let answer = browser.ask(Question::get("/")).map_err(|error| last = format!("{error:#}")).ok()?;
        let text = answer.text();
        last = format!("{} {text}", answer.status);
        let (_, rest) = text.split_once("<h1>").filter(|_| answer.status == 200)?;
        rest.split_once("</h1>").map(|(heading, _)| heading.to_owned())
    });
    heading.with_context(|| format!("{app} answers no page within {ANSWER:?}, but {last}"))
}

/// How often the release phase of the small app has run: each run writes a line.
fn phases(site: &Site) -> anyhow::Result<usize> {
    let browser = site.installation().site(&format!("{PLAIN}.localhost"));
    let answer = within(REST, || {
        browser.ask(Question::get("/read?/data/releases")).ok().filter(|answer| answer.status == 200)
    });
    Ok(answer.context("the small app answers")?.text().lines().filter(|line| *line == "released").count())
}
