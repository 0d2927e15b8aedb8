//! What an earlier process left on the disk and in the kernel, with or without a record.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use tandem_kit::{files, tasks};
use tandem_sandbox::cgroup::Group;
use tandem_sandbox::shim::{Adopted, adopt};
use tandem_types::{InstanceId, defaults};

use crate::folders::{Folders, Unit};
use crate::instance::Record;
use crate::intent::JobIntent;
use crate::traces::units;
use crate::{job, removal, spec};

/// What may have been anything gets the time of a worker to end.
const STOP_TIMEOUT: tandem_types::Span = defaults::WORKER_STOP_TIMEOUT;

/// Everything with a record that can be read.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Instances.
    pub(super) instances: Vec<Record>,
    /// Jobs.
    pub(super) jobs: Vec<JobIntent>,
}

/// Reads the records. A folder without one is no loss: its owner crashed before it started anything, or it is swept.
pub(super) fn records(folders: &Folders) -> Found {
    let mut found = Found::default();
    for unit in units(&folders.instances()) {
        found.instances.extend(readable(unit, Record::read(&folders.unit(unit))));
    }
    for unit in units(&folders.jobs()) {
        found.jobs.extend(readable(unit, job::read_intent(&folders.unit(unit))));
    }
    found
}

/// Ports of instances that may run, with the users they run as.
pub(super) fn ports(folders: &Folders, found: &Found) -> BTreeMap<InstanceId, (u16, u32)> {
    let port = |record: &Record| {
        let id = record.intent.instance.id;
        let port = spec::cached_port(&folders.unit(Unit::Instance(id)))?;
        Some((id, (port, record.intent.uid)))
    };
    found.instances.iter().filter_map(port).collect()
}

fn readable<T>(unit: Unit, record: Result<Option<T>, files::Error>) -> Option<T> {
    record.unwrap_or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot read what {unit} was, so it is swept"
        );
        None
    })
}

/// Ends and removes what no actor stands for.
pub(super) async fn end(folders: Folders, unit: Unit, has_group: bool) {
    let folders = &folders;
    let paths = [folders.unit(unit), folders.socket(unit), folders.secret(unit)];
    if !has_group && !paths.iter().any(|path| path.exists()) {
        // Its actor has removed it since the look.
        return;
    }
    tracing::warn!("ending what is left of {unit}, which no assignment names");
    if let Ok(Adopted::Live(shim)) = adopt(&folders.unit(unit)).await {
        let stopped = async {
            shim.stop(Signal::SIGTERM as i32, STOP_TIMEOUT).await?;
            shim.wait_exit().await?;
            shim.dismiss().await
        };
        if let Err(error) = stopped.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "{unit}: the shim could not stop it");
        }
    }
    if has_group && let Err(error) = Group::open(&folders.cgroup_parent, &unit.to_string()).sweep().await {
        tracing::error!(error = &error as &dyn std::error::Error, "{unit}: could not end what is left");
        return;
    }
    let folders = folders.clone();
    tasks::blocking("stray-remove", move || removal::remove(&folders, unit)).await;
}
