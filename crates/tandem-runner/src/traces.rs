//! What instances and jobs leave on the disk and in the kernel, by which they are found whether anybody knows of them or
//! not.
//!
//! The reconciler ends what no actor stands for; until that is done, such a process may still need its tree, and
//! nobody can tell which: its record may be what is damaged. So the stager asks here before it removes any.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use tandem_kit::tasks;
use tandem_sandbox::cgroup::{self, Group};

use crate::folders::{Folders, Unit};

/// Everything that has a folder, a control group, a socket or a config here, known or not.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    units: BTreeSet<Unit>,
    groups: BTreeSet<Unit>,
}

impl Traces {
    /// What there is; looks on a thread that may block.
    pub(crate) async fn find(folders: Folders) -> Self {
        tasks::blocking("stray-list", move || {
            let groups = groups(&folders).unwrap_or_else(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot list the control groups");
                BTreeSet::new()
            });
            Self { units: named(&folders).chain(groups.iter().copied()).collect(), groups }
        })
        .await
    }

    /// Those that nobody knows.
    pub(crate) fn unknown(mut self, is_known: impl Fn(Unit) -> bool) -> Self {
        self.units.retain(|unit| !is_known(*unit));
        self
    }

    /// Which they are.
    pub(crate) fn units(&self) -> impl Iterator<Item = Unit> {
        self.units.iter().copied()
    }

    /// Whether one had a control group.
    pub(crate) fn has_group(&self, unit: Unit) -> bool {
        self.groups.contains(&unit)
    }
}

/// Why it is not known what may run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The control groups.
    #[error("list the control groups")]
    Groups(#[source] cgroup::Error),
    /// The folders.
    #[error("list the folders of instances and jobs")]
    Folders(#[source] io::Error),
}

/// Everything of which a process may live: it has a folder, which is removed after the end, or a control group with
/// somebody in it. Blocks.
///
/// # Errors
/// That cannot be told.
pub(crate) fn alive(folders: &Folders) -> Result<BTreeSet<Unit>, Error> {
    let mut alive = groups(folders).map_err(Error::Groups)?;
    alive.retain(|unit| Group::open(&folders.cgroup_parent, &unit.to_string()).populated());
    for folder in [folders.instances(), folders.jobs()] {
        for entry in std::fs::read_dir(folder).map_err(Error::Folders)? {
            let name = entry.map_err(Error::Folders)?.file_name();
            alive.extend(name.to_str().and_then(Unit::parse));
        }
    }
    Ok(alive)
}

/// Those in a folder of instances or jobs.
pub(crate) fn units(folder: &Path) -> Vec<Unit> {
    names(folder).iter().filter_map(|name| Unit::parse(name)).collect()
}

/// Groups of builds have other names and are not among them.
fn groups(folders: &Folders) -> Result<BTreeSet<Unit>, cgroup::Error> {
    let names = cgroup::list(&folders.cgroup_parent)?;
    Ok(names.iter().filter_map(|name| Unit::parse(name)).collect())
}

fn named(folders: &Folders) -> impl Iterator<Item = Unit> {
    let files = [(folders.sockets(), ".sock"), (folders.secrets(), ".json")];
    let files = files.into_iter().flat_map(|(folder, end)| {
        let of = move |name: String| Unit::parse(name.strip_suffix(end)?);
        names(folder).into_iter().filter_map(of)
    });
    units(&folders.instances()).into_iter().chain(units(&folders.jobs())).chain(files)
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use tandem_kit::files;
    use tandem_kit::paths::DataDir;
    use tandem_types::{InstanceId, JobId};

    use super::*;

    #[test]
    fn whatever_still_has_its_folder_may_live_and_a_socket_alone_does_not() {
        let folder = tempfile::tempdir().expect("there is room");
        let data = DataDir::open(folder.path()).expect("there is room");
        let folders = Folders::open(&data).expect("there is room");
        assert_eq!(alive(&folders).expect("it can be told"), BTreeSet::new());
        let (instance, job) = (Unit::Instance(InstanceId(7)), Unit::Job(JobId(8)));
        for unit in [instance, job] {
            files::ensure_dir(&folders.unit(unit), 0o700).expect("there is room");
        }
        files::ensure_dir(folders.sockets(), 0o700).expect("there is room");
        let socket = folders.socket(Unit::Instance(InstanceId(9)));
        files::write_atomic_unsynced(&socket, b"", 0o600).expect("there is room");
        assert_eq!(alive(&folders).expect("it can be told"), BTreeSet::from([instance, job]));
        std::fs::remove_dir_all(folders.instances()).expect("it is ours");
        assert!(alive(&folders).is_err(), "what cannot be listed is not taken for nothing");
        data.remove_runtime().expect("it is ours");
    }
}
