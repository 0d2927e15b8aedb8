//! Environment variables of a process: what the build and the config say, and what only this host can know.
//!
//! `PORT`, `TMPDIR`, the ids and the folders of volumes are the host's and win over everything; `LANG` and Python's
//! switches are habits that config may change. `HOME` is left to the sandbox, which knows where it puts it.

use std::collections::BTreeMap;

use tandem_kit::env;
use tandem_types::assignment::AssignedBuild;
use tandem_types::{InstanceId, JobId};

const TMPDIR: &str = "/tmp";
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Used where neither build nor config says otherwise. Output must not wait in Python's buffer to reach the log, and
/// `/app` is read-only, so trying to write byte code there is time lost.
pub(crate) const HABITS: [(&str, &str); 3] =
    [("LANG", "C.UTF-8"), ("PYTHONUNBUFFERED", "1"), ("PYTHONDONTWRITEBYTECODE", "1")];

/// What the process is called in its own environment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name {
    /// `TANDEM_INSTANCE`.
    Instance(InstanceId),
    /// `TANDEM_JOB`.
    Job(JobId),
}

/// Puts the environment together. `config` is the server's answer, which has the build's values in it already.
pub(crate) fn compose(
    config: BTreeMap<String, String>,
    build: &AssignedBuild,
    name: Name,
    port: Option<u16>,
) -> BTreeMap<String, String> {
    let mut environment = build.environment.clone();
    environment.extend(config);
    for (key, value) in HABITS {
        environment.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let system = environment.get("PATH").map_or(SYSTEM_PATH, String::as_str);
    let path = build.path.iter().map(String::as_str).chain([system]).collect::<Vec<_>>().join(":");
    let (key, id) = match name {
        Name::Instance(id) => (env::TANDEM_INSTANCE, id.to_string()),
        Name::Job(id) => (env::TANDEM_JOB, id.to_string()),
    };
    let own = [("PATH", path), ("TMPDIR", TMPDIR.to_owned()), (key, id)];
    environment.extend(own.map(|(key, value)| (key.to_owned(), value)));
    environment.extend(build.volumes.iter().map(|(name, target)| (volume_variable(name), target.clone())));
    environment.remove("HOME");
    match port {
        Some(port) => environment.insert("PORT".to_owned(), port.to_string()),
        None => environment.remove("PORT"),
    };
    environment
}

/// `TANDEM_VOLUME_DATA` for the volume `data`: where it is mounted. Plain processes have no mounts and are told the
/// folder behind it, so an app that asks for this finds its data on a laptop, too.
fn volume_variable(name: &str) -> String {
    format!(
        "TANDEM_VOLUME_{}",
        name.to_ascii_uppercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::build;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn config_wins_over_the_build_and_the_host_over_config() {
        let build = AssignedBuild { environment: map(&[("A", "build"), ("B", "build")]), ..build() };
        let config = map(&[("B", "config"), ("PORT", "1"), ("HOME", "/root"), ("LANG", "de_AT.UTF-8")]);
        let name = Name::Instance(InstanceId(7));
        let environment = compose(config, &build, name, Some(20_001));
        let expected = map(&[
            ("A", "build"),
            ("B", "config"),
            ("LANG", "de_AT.UTF-8"),
            ("PATH", SYSTEM_PATH),
            ("PORT", "20001"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PYTHONUNBUFFERED", "1"),
            ("TANDEM_INSTANCE", "i7"),
            ("TMPDIR", "/tmp"),
        ]);
        assert_eq!(environment, expected);
    }

    #[test]
    fn the_folders_of_the_build_come_first_in_the_path() {
        let build = AssignedBuild { path: vec!["/app/.venv/bin".to_owned()], ..build() };
        let path = |config| compose(config, &build, Name::Job(JobId(1)), None)["PATH"].clone();
        assert_eq!(path(map(&[])), "/app/.venv/bin:/usr/local/bin:/usr/bin:/bin");
        assert_eq!(path(map(&[("PATH", "/opt/bin")])), "/app/.venv/bin:/opt/bin");
    }

    #[test]
    fn a_process_is_told_where_its_volumes_are() {
        let build = AssignedBuild { volumes: map(&[("up-loads", "/srv/media")]), ..build() };
        let environment =
            compose(map(&[("TANDEM_VOLUME_UP_LOADS", "/etc")]), &build, Name::Job(JobId(3)), None);
        assert_eq!(environment["TANDEM_VOLUME_UP_LOADS"], "/srv/media");
    }

    #[test]
    fn a_process_without_a_port_of_its_own_sees_none() {
        let environment = compose(map(&[("PORT", "80")]), &build(), Name::Job(JobId(3)), None);
        assert!(!environment.contains_key("PORT"));
        assert_eq!(environment["TANDEM_JOB"], "j3");
    }
}
