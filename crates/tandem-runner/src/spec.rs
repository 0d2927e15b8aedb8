//! From an intent to what a shim is given: mounts, volumes, limits, environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tandem_kit::paths::{NODES, PYTHONS};
use tandem_kit::{files, tasks};
use tandem_sandbox::shim::{ExitRecord, Secrets, ShimSpec, Status};
use tandem_sandbox::{Limits, Mount, Network, Spec, User, logs};
use tandem_types::assignment::AssignedBuild;
use tandem_types::instance::Isolation;
use tandem_types::{Span, Timestamp};

use crate::context::Context;
use crate::folders::{Folders, Unit};
use crate::intent::Place;
use crate::together::put_together;
use crate::volumes;

/// The file that a shim reads; written by `tandem_sandbox::shim::launch`.
pub(crate) const NAME: &str = "spec.json";
/// Where the code of every app is, at build time and at run time.
const APP: &str = "/app";
/// Name of the user in the sandbox. The same for all apps: it is the number that keeps them apart.
const USER: &str = "app";

/// What differs between an instance and a job.
pub(crate) struct Process<'a> {
    /// Which.
    pub(crate) unit: Unit,
    /// Whose.
    pub(crate) place: &'a Place,
    /// User and group id.
    pub(crate) uid: u32,
    /// Its files.
    pub(crate) build: &'a AssignedBuild,
    /// Shell command.
    pub(crate) command: &'a str,
    /// All of it.
    pub(crate) environment: BTreeMap<String, String>,
    /// What it may use.
    pub(crate) limits: Limits,
    /// `web`, `release`, …: the first part of the host name it sees.
    pub(crate) kind: &'a str,
    /// Where its output goes.
    pub(crate) log: logs::Settings,
}

/// Why a process could not be described.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The folder of a volume.
    #[error(transparent)]
    Volume(#[from] volumes::Error),
    /// The folder of a process without a sandbox.
    #[error("put the parts of the build together")]
    NotTogether(#[source] std::io::Error),
}

/// Describes a process; the folders of its volumes are ready on return, and without a sandbox so is the one in which what
/// would be mounted at `/app` and below lies together.
pub(crate) async fn compose(context: &Context, process: Process<'_>) -> Result<ShimSpec, Error> {
    let destination = context.folders.unit(process.unit).join("app");
    let mut spec = with_mounts(context, process)?;
    if spec.sandbox.isolation == Isolation::Plain {
        let mounts = std::mem::take(&mut spec.sandbox.mounts);
        let work = move || put_together(mounts, Path::new(APP), &destination);
        spec.sandbox.mounts = tasks::blocking("put-together", work).await.map_err(Error::NotTogether)?;
    }
    Ok(spec)
}

fn with_mounts(context: &Context, process: Process<'_>) -> Result<ShimSpec, Error> {
    let folders = &context.folders;
    let trees = process.build.subtrees.iter();
    let mut mounts: Vec<Mount> =
        trees.map(|subtree| Mount::read_only(folders.tree(&subtree.tree), &subtree.mount)).collect();
    for (name, target) in &process.build.volumes {
        let wanted = volumes::Wanted { place: process.place, name, uid: process.uid };
        let source = folders.volumes.ready(wanted, context.clock.now())?;
        mounts.push(Mount::writable(source, target));
    }
    // Plain processes have the real path of their interpreter.
    if context.isolation == Isolation::Sandbox {
        let tools = [(&folders.pythons, PYTHONS), (&folders.nodes, NODES)];
        let there = tools.into_iter().filter(|(folder, _)| folder.is_dir());
        mounts.extend(there.map(|(folder, target)| Mount::read_only(folder, target)));
    }
    let is_open = |name: &String, _: &mut String| name == tandem_kit::env::PORT;
    let mut values = process.environment;
    let open = values.extract_if(.., is_open).collect();
    let secrets = Some(Secrets { path: folders.secret(process.unit), values });
    let sandbox = Spec {
        id: process.unit.to_string(),
        cgroup_parent: folders.cgroup_parent.clone(),
        isolation: context.isolation,
        command: process.command.to_owned(),
        cwd: working_folder(process.build),
        environment: open,
        user: User { uid: process.uid, name: USER.to_owned() },
        hostname: format!("{}-{}", process.kind, process.unit),
        home: folders.unit(process.unit).join("home"),
        mounts,
        limits: process.limits,
        network: Network::Host,
    };
    let socket = folders.socket(process.unit);
    Ok(ShimSpec { sandbox, log: process.log, socket, marker: None, timeout: None, secrets, session: None })
}

/// Where commands start.
fn working_folder(build: &AssignedBuild) -> PathBuf {
    build.root.as_ref().map_or_else(|| APP.into(), |root| Path::new(APP).join(root))
}

/// The environment of an earlier start, without its port: config of a release never changes, so it is as good as the
/// server's answer. None after a reboot.
pub(crate) fn cached_environment(folders: &Folders, unit: Unit) -> Option<BTreeMap<String, String>> {
    Secrets::read(&folders.secret(unit)).unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "could not read a cached config");
        None
    })
}

/// The port of an earlier start.
pub(crate) fn cached_port(folder: &Path) -> Option<u16> {
    let spec = files::read_json::<ShimSpec>(&folder.join(NAME)).ok().flatten()?;
    spec.sandbox.environment.get(tandem_kit::env::PORT)?.parse().ok()
}

/// Whether something was started in the folder.
pub(crate) fn is_in(folder: &Path) -> bool {
    folder.join(NAME).exists()
}

/// How long a process ran: as its shim measured it. One of before shims did that tells two times of the wall clock, between
/// which it may have been set.
pub(crate) fn ran(record: &ExitRecord) -> Span {
    record.ran_ms.map_or_else(|| between(record.started, record.exit.at), Span::millis)
}

/// How long a process has run, by the same measure.
pub(crate) fn age(status: &Status, now: Timestamp) -> Span {
    status.ran_ms.map_or_else(|| between(status.started, now), Span::millis)
}

/// Length of time from one wall-clock time to another; nothing where it runs backwards.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Span {
    Span::millis(u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use tandem_types::instance::Exit;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_counts_as_no_time() {
        let at = |second| Timestamp::from_second(second).expect("it is in range");
        assert_eq!(between(at(1), at(3)), Span::seconds(2));
        assert_eq!(between(at(3), at(1)), Span::millis(0));
    }

    /// An hour on either side of its life: a crash is neither forgiven for it nor counted as one at the start.
    #[test]
    fn what_the_shim_measured_counts_and_not_the_wall_clock() {
        let at = |second| Timestamp::from_second(second).expect("it is in range");
        let record = |jump: i64, ran_ms| ExitRecord {
            started: at(10_000),
            exit: Exit { code: Some(1), signal: None, out_of_memory: false, at: at(10_010 + jump) },
            timed_out: false,
            dropped_lines: 0,
            ran_ms,
        };
        let status = |ran_ms| Status {
            version: 1,
            shim_pid: 1,
            child_pid: Some(2),
            started: at(10_000),
            exit: None,
            timed_out: false,
            dropped_lines: 0,
            ran_ms,
        };
        for jump in [-3_600, 0, 3_600] {
            assert_eq!(ran(&record(jump, Some(10_000))), Span::seconds(10));
            assert_eq!(age(&status(Some(10_000)), at(10_010 + jump)), Span::seconds(10));
        }
        assert_eq!(ran(&record(0, None)), Span::seconds(10), "of an older shim");
        assert_eq!(age(&status(None), at(10_010)), Span::seconds(10));
    }
}
