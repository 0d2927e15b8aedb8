//! `scale` and `restart`: the same release with another number of instances, or with new ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_types::build::Build;
use tandem_types::problem::Problem;
use tandem_types::release::Release;
use tandem_types::{ProcessType, defaults, keys};

use super::Ask;
use crate::handle::Handle;
use crate::place::Place;
use crate::problem;

impl Handle {
    pub(super) fn ask_scale(
        &self,
        place: &Place,
        scale: BTreeMap<ProcessType, u32>,
        ask: Ask,
    ) -> Result<Ask, Problem> {
        let build = self.current_build(place)?;
        if scale.is_empty() {
            let title = "no process type was named";
            return Err(Problem::new(422, "process_missing", title).hint("tandem scale web=2"));
        }
        for (process, count) in &scale {
            let spec = known_process(&build, process)?;
            if spec.singleton && *count > 1 {
                let title = format!("{process} never runs more than once at a time");
                return Err(Problem::new(422, "singleton", title)
                    .hint(format!("set `singleton = false` in [processes.{process}] of tandem.toml")));
            }
            if *count > defaults::MOST_INSTANCES {
                let most = defaults::MOST_INSTANCES;
                let title = format!("{count} instances of {process} are more than the {most} allowed");
                return Err(Problem::new(422, "too_many_instances", title)
                    .hint(format!("tandem scale {process}={most}")));
            }
        }
        Ok(Ask { scale, ..ask })
    }

    pub(super) fn ask_restart(
        &self,
        place: &Place,
        processes: Vec<ProcessType>,
        ask: Ask,
    ) -> Result<Ask, Problem> {
        let build = self.current_build(place)?;
        for process in &processes {
            known_process(&build, process)?;
        }
        Ok(Ask { processes, ..ask })
    }

    /// The build that serves.
    pub(crate) fn current_build(&self, place: &Place) -> Result<Arc<Build>, Problem> {
        let current = self.environment(place)?.current.ok_or_else(|| problem::nothing_runs(place))?;
        let Place { app, environment } = place;
        let build = self.shared.look(|mirror| {
            let release = mirror.value::<Release>(&keys::release(app, environment, current))?;
            mirror.value::<Build>(&keys::build(app, release.build))
        });
        build.ok_or_else(|| problem::nothing_runs(place))
    }
}

fn known_process<'b>(
    build: &'b Build,
    process: &ProcessType,
) -> Result<&'b tandem_types::app::ProcessSpec, Problem> {
    let known = &build.spec.processes;
    known.get(process).ok_or_else(|| {
        let names = || known.keys().map(ProcessType::as_str);
        let hint = match problem::nearest(process.as_str(), names()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
        };
        let title = format!("{} has no process type {process}", build.app);
        Problem::new(404, "process_not_found", title).hint(hint)
    })
}
