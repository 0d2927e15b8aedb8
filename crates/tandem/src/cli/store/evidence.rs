//! Gathers what outlived the store on this machine: records of the runner, the balancer's table, stories of rollouts,
//! owners of volumes, and what can still be read of the damaged file.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tandem_control::secrets::Keyring;
use tandem_kit::files;
use tandem_kit::paths::DataDir;
use tandem_rules::restore::{Documents, Evidence, Place};
use tandem_runner::Remembered;
use tandem_store::sqlite::restore::readable_documents;
use tandem_types::environment::Config;
use tandem_types::{HostName, Revision, RolloutNumber, defaults};

use crate::failure::Failure;

/// All of it. Of the damaged store only what is newer than the snapshot counts.
pub(super) fn gather(
    data: &DataDir,
    remembered: Remembered,
    snapshot: Revision,
) -> Result<Evidence, Failure> {
    let host = files::read_json::<HostName>(&data.root().join("host.json"));
    let host = host.map_err(|error| Failure::chain("read this host's name", &error))?;
    let mut found = Documents::default();
    let readable = readable_documents(&data.database());
    readable.iter().filter(|document| document.revision > snapshot).for_each(|document| found.add(document));
    Ok(Evidence {
        host,
        configs: sealed(data, &remembered)?,
        running: remembered.assignments,
        table: tandem_balancer::saved_table(&data.balancer()),
        rollouts: rollouts(&data.rollouts()),
        uid: greatest_owner(&data.volumes()),
        instance: remembered.greatest_instance,
        job: remembered.greatest_job,
        found,
    })
}

type Configs =
    BTreeMap<(tandem_types::AppName, tandem_types::EnvironmentName, tandem_types::ReleaseNumber), Config>;

/// Config as the store keeps it. Where nothing has any, no key is made for it.
fn sealed(data: &DataDir, remembered: &Remembered) -> Result<Configs, Failure> {
    if remembered.configs.values().all(BTreeMap::is_empty) {
        return Ok(Configs::new());
    }
    let keyring = Keyring::open(&data.keys())
        .map_err(|error| Failure::chain("seal the config of what runs", &error))?;
    let seal = |values: &BTreeMap<String, String>| {
        let values = values.iter().map(|(name, value)| Ok((name.clone(), keyring.seal(value)?)));
        values.collect::<Result<_, tandem_control::secrets::SealError>>().map(|values| Config { values })
    };
    let configs = remembered.configs.iter().map(|(key, values)| Ok((key.clone(), seal(values)?)));
    let configs: Result<_, tandem_control::secrets::SealError> = configs.collect();
    configs.map_err(|error| Failure::chain("seal the config of what runs", &error))
}

/// The greatest number with a story, by environment.
fn rollouts(folder: &Path) -> BTreeMap<Place, RolloutNumber> {
    let mut greatest: BTreeMap<Place, RolloutNumber> = BTreeMap::new();
    for environment in entries(folder) {
        let place = environment.file_name().and_then(|name| name.to_str()?.split_once('.'));
        let Some(place) = place.and_then(|(app, name)| Some((app.parse().ok()?, name.parse().ok()?))) else {
            continue;
        };
        let number = |file: PathBuf| file.file_stem()?.to_str()?.trim_start_matches("ro").parse().ok();
        if let Some(number) = entries(&environment).into_iter().filter_map(number).max() {
            greatest.insert(place, RolloutNumber(number));
        }
    }
    greatest
}

/// The greatest id of those given to apps that owns a volume.
fn greatest_owner(volumes: &Path) -> u32 {
    let folders = entries(volumes).into_iter().flat_map(|environment| {
        let own = entries(&environment);
        own.into_iter().chain([environment])
    });
    let owners = folders.filter_map(|folder| Some(folder.metadata().ok()?.uid()));
    owners.filter(|uid| (defaults::FIRST_UID..=defaults::LAST_UID).contains(uid)).max().unwrap_or(0)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
