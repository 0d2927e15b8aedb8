//! Who is killed, how it is found, and what brings it back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tandem_kit::clock::Moment;
use tandem_testkit::leftovers::Process;
use tandem_testkit::program::Running;
use tandem_testkit::wait::{PATIENCE, within};

use crate::ground::{GUESTBOOK, Site};
use crate::operation::{Operation, part_of};

/// A build that was asked for has begun by then.
const BUILD_BEGINS: Duration = Duration::from_secs(10);
/// The number of a deploy that no other one has.
const UNLIKE_OTHERS: usize = 10_000;

/// A part of Tandem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    /// Server and runner.
    Up,
    Balancer,
    /// The shim of an instance that serves; the instance dies with it.
    Shim,
    /// The commands of a build.
    Builder,
    /// The command that was typed.
    Client,
    /// Everything but apps and their shims.
    Tandem,
}

impl Victim {
    pub(crate) const ALL: [Self; 6] =
        [Self::Up, Self::Balancer, Self::Shim, Self::Builder, Self::Client, Self::Tandem];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "server and runner",
            Self::Balancer => "balancer",
            Self::Shim => "shim of a serving instance",
            Self::Builder => "commands of the build",
            Self::Client => "client",
            Self::Tandem => "all but apps and shims",
        }
    }

    /// Whether the data path breaks with it.
    pub(crate) fn breaks_traffic(self) -> bool {
        matches!(self, Self::Balancer | Self::Tandem)
    }

    /// Kills it, and starts again what nobody else does. When it was killed; none where there was nothing to kill. Of
    /// several like it, `turn` says whose it is.
    pub(crate) fn strike(
        self,
        site: &mut Site,
        (app, turn): (&str, usize),
        client: &mut Option<Running>,
    ) -> Option<Moment> {
        match self {
            Self::Up => {
                let at = site.now();
                site.installation_mut().end(Signal::SIGKILL);
                site.installation_mut().start_again();
                Some(at)
            }
            Self::Balancer => kill_all(site, &site.role("balancer")),
            Self::Shim => {
                let shim = shim_of(site, app, turn);
                kill_all(site, shim.as_slice())
            }
            Self::Builder => strike_commands(site, part_of(site.commands)),
            Self::Client => {
                let mut client = client.take()?;
                if client.ended().is_some() {
                    return None;
                }
                let at = site.now();
                client.signal(Signal::SIGKILL);
                Some(at)
            }
            Self::Tandem => {
                let at = site.kill_tandem();
                drop(client.take());
                site.installation_mut().start_again();
                Some(at)
            }
        }
    }
}

impl Site {
    /// Kills server, runner, builds and balancer, and returns once the server has ended.
    pub(crate) fn kill_tandem(&mut self) -> Moment {
        // The server first: it would start the balancer again.
        let all = [self.role("up"), self.role("balancer"), self.builders()].concat();
        let at = self.now();
        for process in &all {
            let _ = kill(*process, Signal::SIGKILL);
        }
        self.installation_mut().end(Signal::SIGKILL);
        at
    }

    /// Processes of Tandem's own with this role.
    pub(crate) fn role(&self, role: &str) -> Vec<Pid> {
        let own = self.own_processes().into_iter();
        own.filter(|process| word(process, 1) == role).map(|process| process.id).collect()
    }

    /// The shims, with the names of their instances and jobs.
    pub(crate) fn shims(&self) -> Vec<(String, Pid)> {
        let own = self.own_processes().into_iter().filter(|process| word(process, 1) == "shim");
        let name = |process: &Process| word(process, 2).rsplit('/').next().unwrap_or_default().to_owned();
        own.map(|process| (name(&process), process.id)).collect()
    }

    /// Changes a static file of the guestbook: where none has changed nothing is collected, and a build has no command that takes
    /// longer than a look at the machine.
    pub(crate) fn make_build_long(&self, number: usize) {
        self.guestbook.write("static/guestbook/moment.css", &format!(".moment-{number} {{ color: red }}\n"));
    }

    /// From the first command of a build to its last, in a deploy of the guestbook in which nobody is killed.
    pub(crate) fn time_commands(&self) -> anyhow::Result<Duration> {
        self.make_build_long(UNLIKE_OTHERS);
        let mut client = Operation::Deploy.begin(self, (GUESTBOOK, UNLIKE_OTHERS));
        let mut seen = None;
        let ended = within(PATIENCE * 3, || {
            if !self.builders().is_empty() {
                let (now, first) = (self.now(), seen.map(|(first, _)| first));
                seen = Some((first.unwrap_or(now), now));
            }
            client.ended()
        });
        let ended = ended.context("the deploy ends")?;
        anyhow::ensure!(ended.success(), "the deploy fails, {ended}");
        // On a machine so busy that no look met a command, the first that is seen is killed.
        Ok(seen.map_or(Duration::ZERO, |(first, last)| last.elapsed_since(first)))
    }

    /// What the server has started, and what that has, but for shims, balancers and what they have.
    fn builders(&self) -> Vec<Pid> {
        let others: BTreeSet<_> = [self.role("shim"), self.role("balancer")].concat().into_iter().collect();
        let (children, mut found, mut next) = (children(), Vec::new(), self.role("up"));
        while let Some(parent) = next.pop() {
            let below = children.get(&parent).into_iter().flatten().filter(|child| !others.contains(child));
            let below: Vec<_> = below.copied().collect();
            found.extend(&below);
            next.extend(below);
        }
        found
    }

    fn own_processes(&self) -> Vec<Process> {
        let all = self.installation().traces().processes().into_iter();
        all.filter(|process| self.is_own(process)).collect()
    }

    /// By the file it runs, since a shim is called by another name than what a person types.
    fn is_own(&self, process: &Process) -> bool {
        let file = std::fs::read_link(format!("/proc/{}/exe", process.id)).ok();
        file.as_ref() == Some(&self.binary)
    }
}

/// Every process by its parent.
fn children() -> BTreeMap<Pid, Vec<Pid>> {
    let mut children = BTreeMap::<Pid, Vec<Pid>>::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // Behind the name, which is in brackets and may hold anything: state is field 3, the parent 4.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(parent), Some(id)) = (parent, id) {
            children.entry(Pid::from_raw(parent)).or_default().push(Pid::from_raw(id));
        }
    }
    children
}

fn kill_all(site: &Site, processes: &[Pid]) -> Option<Moment> {
    let at = site.now();
    let killed = processes.iter().filter(|process| kill(**process, Signal::SIGKILL).is_ok()).count();
    (killed > 0).then_some(at)
}

/// Kills whatever command of a build runs so long after the first one was seen, or next. What was seen is killed without
/// another look: on a busy machine a look takes as long as a command.
fn strike_commands(site: &Site, delay: Duration) -> Option<Moment> {
    let mut first = None;
    let struck = within(BUILD_BEGINS, || {
        let there = site.builders();
        if !there.is_empty() {
            first.get_or_insert_with(|| site.now());
        }
        let since = site.since(first?);
        let is_over = there.is_empty() && since > site.commands;
        (is_over || !there.is_empty() && since >= delay).then(|| kill_all(site, &there))
    });
    struck.flatten()
}

/// The shim of a web instance that serves: of each in turn, since who dies again and again is started ever later.
fn shim_of(site: &Site, app: &str, turn: usize) -> Option<Pid> {
    let lines = site.told(&["ps", "--json", "--app", app]);
    let serves = |line: &&Value| line["role"] == "serving" && line["state"] == "ready";
    let serving: Vec<_> = lines.as_array()?.iter().filter(serves).collect();
    let id = serving.get(turn % serving.len().max(1))?["id"].as_str()?.to_owned();
    site.shims().into_iter().find(|(name, _)| *name == id).map(|(_, process)| process)
}

fn word(process: &Process, number: usize) -> &str {
    process.words.split(' ').nth(number).unwrap_or_default()
}
