//! `Staging`: every host that will run the release checks its build out.

use tandem_types::HostName;
use tandem_types::rollout::RolloutState;
use tandem_types::{Span, defaults};

use super::problems;
use super::step::{Flow, Step};
use crate::world::later;

/// Longest wait for a host whose runner does not report. It may be just started again; for one that hangs or whose machine is
/// down there is no use to wait for as long as for one that is at work.
const SILENT_HOST: Span = Span::seconds(60);

impl Step<'_> {
    pub(super) fn staging(&mut self) -> Flow {
        let to = self.to();
        let Some(build) = self.draft.build_of(to).map(|build| build.number) else {
            return Flow::Fail(problems::build_gone(to));
        };
        let hosts = self.draft.world.hosts.clone();
        for host in &hosts {
            self.draft.name_build(host, to);
        }
        let staged = |host: &&HostName| {
            let report = self.draft.world.host(host, self.draft.now);
            let is_it = |other: &tandem_types::instance::StagedBuild| {
                other.app == self.rollout.app && other.build == build
            };
            report.is_some_and(|report| report.staged.iter().any(is_it))
        };
        let waiting: Vec<_> = hosts.iter().filter(|host| !staged(host)).cloned().collect();
        if waiting.is_empty() && !hosts.is_empty() {
            self.note = problems::count(hosts.len(), "host");
            let checked = self.makes_release_from_source();
            return Flow::Next(if checked { RolloutState::Smoking } else { RolloutState::Starting });
        }
        if let Some(problem) = self.staging_failure(build) {
            return Flow::Fail(problem);
        }
        let silent = self.silent(&waiting);
        if !silent.is_empty() {
            return Flow::Fail(problems::host_silent(build, &silent));
        }
        if self.lasted(defaults::STAGE_TIMEOUT) {
            return Flow::Fail(problems::staging_timed_out(build, &waiting));
        }
        Flow::Wait
    }

    /// Hosts that have said nothing for too long, since they last did or this was asked of them; asks to be woken when the next
    /// may be one.
    fn silent(&mut self, hosts: &[HostName]) -> Vec<HostName> {
        let begin = self.watched_since();
        let mut silent = Vec::new();
        for host in hosts {
            let last = self.draft.world.observations.get(host).map_or(begin, |report| report.at.max(begin));
            let end = later(last, SILENT_HOST);
            if self.draft.now >= end {
                silent.push(host.clone());
            } else {
                self.draft.wake_at(end);
            }
        }
        silent
    }

    fn staging_failure(&self, build: tandem_types::BuildNumber) -> Option<tandem_types::problem::Problem> {
        let hosts = self.draft.world.hosts.iter();
        let reports = hosts.filter_map(|host| self.draft.world.host(host, self.draft.now));
        let mut failures = reports
            .flat_map(|report| report.stage_failures.iter().map(move |failure| (&report.host, failure)));
        let (host, failure) =
            failures.find(|(_, failure)| failure.app == self.rollout.app && failure.build == build)?;
        Some(problems::staging_failed(build, host, &failure.reason))
    }

    fn makes_release_from_source(&self) -> bool {
        self.rollout.kind == tandem_types::rollout::RolloutKind::Deploy
    }
}
