//! What an earlier process left on the disk and in the kernel, with or without a record.

use std::collections::BTreeSet;
use std::path::Path;

use tandem_kit::{files, tasks};
use tandem_sandbox::cgroup::{self, Group};

use crate::folders::{Folders, Unit};
use crate::instance::Record;
use crate::intent::JobIntent;
use crate::{job, removal};

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

fn readable<T>(unit: Unit, record: Result<Option<T>, files::Error>) -> Option<T> {
    record.unwrap_or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot read what {unit} was, so it is swept"
        );
        None
    })
}

/// Ends and removes what is neither known nor named by anybody. Groups of builds have other names and are not touched.
pub(super) async fn sweep(folders: Folders, known: BTreeSet<Unit>) {
    let (looked, parent) = (folders.clone(), folders.cgroup_parent.clone());
    let (stray, groups) = tasks::blocking("stray-list", move || {
        let groups = cgroup::list(&parent).unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot list the control groups");
            Vec::new()
        });
        (strays(&looked, &known, &groups), groups)
    })
    .await;
    for unit in stray {
        tracing::warn!("removing what is left of {unit}, which no assignment names");
        let name = unit.to_string();
        if groups.contains(&name)
            && let Err(error) = Group::open(&folders.cgroup_parent, &name).sweep().await
        {
            tracing::error!(error = &error as &dyn std::error::Error, "could not end what is left of {unit}");
            continue;
        }
        let (folder, socket) = (folders.unit(unit), folders.socket(unit));
        tasks::blocking("stray-remove", move || removal::remove(&folder, &socket)).await;
    }
}

fn strays(folders: &Folders, known: &BTreeSet<Unit>, groups: &[String]) -> BTreeSet<Unit> {
    let groups = groups.iter().filter_map(|name| Unit::parse(name));
    let sockets = names(folders.sockets());
    let sockets = sockets.iter().filter_map(|name| Unit::parse(name.strip_suffix(".sock")?));
    let folders = units(&folders.instances()).into_iter().chain(units(&folders.jobs()));
    folders.chain(groups).chain(sockets).filter(|unit| !known.contains(unit)).collect()
}

fn units(folder: &Path) -> Vec<Unit> {
    names(folder).iter().filter_map(|name| Unit::parse(name)).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
