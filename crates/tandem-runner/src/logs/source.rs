//! Whose lines a log folder holds (`source.json`), so that they can be told when the instance is gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_kit::files;
use tandem_sandbox::logs::{self, Line};
use tandem_types::assignment::JobKind;
use tandem_types::event::LogLine;
use tandem_types::{InstanceId, JobId, ProcessType, ReleaseNumber};

use crate::folders::Unit;
use crate::intent::{Intent, JobIntent};

/// Beside the chunks, from before the first line on.
pub(super) const NAME: &str = "source.json";

/// What all lines of a log have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// The instance; none for a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<InstanceId>,
    /// The job; none for an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<JobId>,
    /// The release.
    pub(crate) release: ReleaseNumber,
    /// The process type; `release`, `smoke` or `run` for a job.
    pub(crate) process: ProcessType,
    /// Its place among its siblings, from 1.
    pub(crate) index: u32,
}

impl Source {
    /// The log of an instance.
    pub(crate) fn of_instance(intent: &Intent) -> Self {
        let instance = &intent.instance;
        Self {
            instance: Some(instance.id),
            job: None,
            release: instance.release,
            process: instance.process.clone(),
            index: instance.index,
        }
    }

    /// The log of a job.
    pub(crate) fn of_job(intent: &JobIntent) -> Self {
        let name = match intent.job.kind {
            JobKind::Smoke => "smoke",
            JobKind::Release => "release",
            JobKind::Run => "run",
        };
        Self {
            instance: None,
            job: Some(intent.job.id),
            release: intent.job.release,
            process: name.parse().expect("all are process types by their form"),
            // One-off commands run side by side.
            index: if intent.job.kind == JobKind::Run {
                u32::try_from(intent.job.id.0).unwrap_or(u32::MAX)
            } else {
                1
            },
        }
    }

    /// As the head of a log has it, which the actors' log settings wrote.
    fn of_tags(unit: Unit, tags: &BTreeMap<String, String>) -> Option<Self> {
        let (instance, job) = match unit {
            Unit::Instance(id) => (Some(id), None),
            Unit::Job(id) => (None, Some(id)),
        };
        Some(Self {
            instance,
            job,
            release: tags.get("release")?.parse().ok()?,
            process: tags.get("process")?.parse().ok()?,
            index: tags.get("index")?.parse().ok()?,
        })
    }

    /// Whose it is.
    pub(crate) fn unit(&self) -> Option<Unit> {
        self.instance.map(Unit::Instance).or(self.job.map(Unit::Job))
    }

    /// A line of it as it is sent.
    pub(crate) fn tell(&self, line: Line) -> LogLine {
        LogLine {
            time: line.time,
            instance: self.instance,
            release: self.release,
            process: self.process.clone(),
            index: self.index,
            stream: line.stream,
            text: line.text,
        }
    }
}

/// Writes whose log it is; the folder is made where it is missing.
///
/// # Errors
/// The disk refuses.
pub(crate) fn write(folder: &Path, source: &Source) -> Result<(), files::Error> {
    if let Some(parent) = folder.parent() {
        files::ensure_dir(parent, 0o700)?;
    }
    files::ensure_dir(folder, 0o700)?;
    if files::read_json::<Source>(&folder.join(NAME)).is_ok_and(|kept| kept.as_ref() == Some(source)) {
        return Ok(());
    }
    let text = serde_json::to_vec(source).expect("a source is plain JSON");
    files::write_atomic_unsynced(&folder.join(NAME), &text, 0o600)
}

/// The log in a folder, or a folded one; none where it does not say whose it is.
pub(crate) fn read(log: &Path) -> Option<(PathBuf, Source)> {
    let written = files::read_json(&log.join(NAME)).ok().flatten();
    Some((log.to_owned(), written.or_else(|| of_head(log))?))
}

/// Whose a log is by its name and its head; none before its first line.
pub(super) fn of_head(log: &Path) -> Option<Source> {
    let name = log.file_name()?.to_str()?;
    let unit = Unit::parse(name.strip_suffix(".log").unwrap_or(name))?;
    Source::of_tags(unit, &logs::tags(log)?)
}

/// All logs of an environment.
pub(crate) fn list(folder: &Path) -> Vec<(PathBuf, Source)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.filter_map(|entry| read(&entry.ok()?.path())).collect()
}
