//! Where the runner keeps what, as decision 001 lays it out, and the names of volumes and logs.
//!
//! ```text
//! DATA/runner/
//!   cache/  trees/<digest>/  state.json  recent.json
//!   instances/<id>/   instance.json, the shim's spec.json and exit.json, home/
//!   jobs/<id>/        job.json, outcome.json, `started`, the shim's files, home/
//!   logs/<app>.<env>/<id>/   source.json and chunks; outlives its instance, as the file <id>.log where it is small
//!   volumes.json      volumes that were made
//! DATA/volumes/<app>.<env>/<name>/
//! RUNTIME/s/<id>.sock, RUNTIME/secrets/<id>.json
//! ```

use std::path::{Path, PathBuf};

use tandem_kit::files;
use tandem_kit::paths::DataDir;
use tandem_types::{Digest, InstanceId, JobId};

use crate::intent::Place;
use crate::volumes::Volumes;

/// Records that a shim writes beside the runner's.
const SHIMS_OWN: [&str; 2] = ["shim.json", "exit.json"];

/// Paths below the data folder.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    root: PathBuf,
    sockets: PathBuf,
    secrets: PathBuf,
    /// Interpreters that are not the machine's own; may not be there.
    pub(crate) pythons: PathBuf,
    /// The same for Node.
    pub(crate) nodes: PathBuf,
    /// The apps' own folders.
    pub(crate) volumes: Volumes,
    /// Parent of all control groups, relative to the root of each hierarchy.
    pub(crate) cgroup_parent: String,
}

/// Something that runs in a folder, a control group and with a log of its own: an instance or a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Unit {
    /// An instance.
    Instance(InstanceId),
    /// A job.
    Job(JobId),
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instance(id) => id.fmt(f),
            Self::Job(id) => id.fmt(f),
        }
    }
}

impl Unit {
    /// Reads a name as it is printed; none for anything else, such as the control group of a build.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let unit = match name.as_bytes().first()? {
            b'i' => Self::Instance(name.parse().ok()?),
            b'j' => Self::Job(name.parse().ok()?),
            _ => return None,
        };
        (unit.to_string() == name).then_some(unit)
    }
}

impl Folders {
    /// Makes the folders that are missing.
    ///
    /// # Errors
    /// The disk refuses, or what is noted of volumes cannot be read.
    pub(crate) fn open(data: &DataDir) -> Result<Self, files::Error> {
        let root = data.runner();
        files::ensure_dir(&root, 0o700)?;
        let folders = Self {
            volumes: Volumes::open(data.volumes(), root.join("volumes.json"))?,
            root,
            sockets: data.shim_sockets(),
            secrets: data.runtime().join("secrets"),
            pythons: data.pythons(),
            nodes: data.nodes(),
            cgroup_parent: data.cgroup_name(),
        };
        for name in ["cache", "trees", "instances", "jobs", "logs"] {
            files::ensure_dir(&folders.root.join(name), 0o700)?;
        }
        Ok(folders)
    }

    /// Removes what a killed runner had written aside. The shims, which may live, write their own records.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn remove_aside(&self) -> Result<(), files::Error> {
        files::remove_aside(&self.root, |_| true)?;
        files::remove_aside(&self.secrets, |_| true)?;
        for unit in folders_in(&self.instances()).chain(folders_in(&self.jobs())) {
            files::remove_aside(&unit, |name| !SHIMS_OWN.contains(&name))?;
        }
        let logs = folders_in(&self.logs()).flat_map(|place| folders_in(&place));
        logs.into_iter().try_for_each(|log| files::remove_aside(&log, |_| true))
    }

    /// Raw blobs, sources of hard links.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Folder of all checked-out trees.
    pub(crate) fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// A checked-out tree.
    pub(crate) fn tree(&self, digest: &Digest) -> PathBuf {
        self.trees().join(digest.to_string())
    }

    /// Highest fences and ports.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Builds that were here lately.
    pub(crate) fn recent(&self) -> PathBuf {
        self.root.join("recent.json")
    }

    /// Folder of all instances.
    pub(crate) fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    /// Folder of all jobs.
    pub(crate) fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// Folder of an instance or job.
    pub(crate) fn unit(&self, unit: Unit) -> PathBuf {
        match unit {
            Unit::Instance(id) => self.instances().join(id.to_string()),
            Unit::Job(id) => self.jobs().join(id.to_string()),
        }
    }

    /// Control socket of a shim.
    pub(crate) fn socket(&self, unit: Unit) -> PathBuf {
        self.sockets.join(format!("{unit}.sock"))
    }

    /// Folder of all shims' sockets.
    pub(crate) fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// Config of an instance or job, in the runtime folder: it must not lie on the disk.
    pub(crate) fn secret(&self, unit: Unit) -> PathBuf {
        self.secrets.join(format!("{unit}.json"))
    }

    /// Folder of all configs.
    pub(crate) fn secrets(&self) -> &Path {
        &self.secrets
    }

    /// Folder of all logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Folder of an environment's logs.
    pub(crate) fn logs_of(&self, place: &Place) -> PathBuf {
        self.logs().join(place.to_string())
    }

    /// Log of an instance or job.
    pub(crate) fn log(&self, place: &Place, unit: Unit) -> PathBuf {
        self.logs_of(place).join(unit.to_string())
    }
}

fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_instances_and_jobs_are_taken_for_such() {
        assert_eq!(Unit::parse("i42"), Some(Unit::Instance(InstanceId(42))));
        assert_eq!(Unit::parse("j9"), Some(Unit::Job(JobId(9))));
        for other in ["", "i", "42", "i042", "build-7", "j-1", "i4.sock", "b7"] {
            assert_eq!(Unit::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_a_killed_runner_wrote_aside_goes_and_what_a_shim_is_writing_stays() {
        let folder = tempfile::tempdir().expect("there is room");
        let data = DataDir::open(folder.path()).expect("there is room");
        let folders = Folders::open(&data).expect("there is room");
        let (unit, log) =
            (folders.unit(Unit::Instance(InstanceId(7))), folders.logs().join("shop.production/i7"));
        let gone = [
            data.runner().join(".state.json.0123abcd.tmp"),
            folders.secrets().join(".i7.json.0123abcd.tmp"),
            unit.join(".instance.json.0123abcd.tmp"),
            unit.join(".spec.json.0123abcd.tmp"),
            log.join(".source.json.0123abcd.tmp"),
        ];
        let kept = [unit.join(".exit.json.0123abcd.tmp"), unit.join("instance.json")];
        for file in gone.iter().chain(&kept) {
            std::fs::create_dir_all(file.parent().expect("it lies in a folder")).expect("there is room");
            drop(std::fs::File::create(file).expect("there is room"));
        }
        folders.remove_aside().expect("it is ours");
        assert!(gone.iter().all(|file| !file.exists()) && kept.iter().all(|file| file.exists()));
        data.remove_runtime().expect("it is ours");
    }
}
