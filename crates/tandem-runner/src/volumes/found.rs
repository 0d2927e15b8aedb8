//! What is in the volumes of this host, for people who ask.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tandem_kit::disk;
use tandem_types::volume::{VolumeFound, VolumeSeen};
use tandem_types::{AppName, EnvironmentName, Timestamp};

use super::Volumes;
use super::exchange::BEFORE;

/// Unit of `st_blocks`.
const BLOCK: u64 = 512;
/// Entries that are looked at in one volume: some seconds on a disk that has them at hand.
const MOST_ENTRIES: u64 = 1_000_000;
/// Folders in folders.
const DEEPEST: usize = 256;

impl Volumes {
    /// All volumes, by app, environment and name; also those of apps that are gone. Blocks for as long as it takes to look.
    pub(crate) fn found(&self) -> Vec<VolumeFound> {
        let mut found: Vec<_> = names(&self.root).iter().flat_map(|place| self.found_in(place)).collect();
        found.sort_by(|a, b| (&a.app, &a.environment, &a.name).cmp(&(&b.app, &b.environment, &b.name)));
        found
    }

    fn found_in(&self, place: &str) -> Vec<VolumeFound> {
        let Some((app, environment)) = place.split_once('.') else { return Vec::new() };
        let (app, environment) = (app.parse::<AppName>(), environment.parse::<EnvironmentName>());
        let (Ok(app), Ok(environment)) = (app, environment) else { return Vec::new() };
        let folder = self.root.join(place);
        let volumes = names(&folder).into_iter().filter(|name| !name.starts_with('.'));
        let one = |name: String| {
            let before = folder.join(format!("{BEFORE}{name}"));
            let before_import_bytes = before.is_dir().then(|| disk::bytes_below(&before));
            let seen = VolumeSeen { before_import_bytes, ..look(&folder.join(&name)) };
            let (app, environment) = (AppName::clone(&app), EnvironmentName::clone(&environment));
            VolumeFound { app, environment, name, seen }
        };
        volumes.map(one).collect()
    }
}

/// Folders in a folder, and links to some.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn look(volume: &Path) -> VolumeSeen {
    let seen = VolumeSeen { bytes: 0, files: 0, written: None, partial: false, before_import_bytes: None };
    let mut look = Look { seen, entries: 0, named: BTreeSet::new() };
    look.folder(volume, 0);
    look.seen
}

struct Look {
    seen: VolumeSeen,
    entries: u64,
    /// Files of several names that were counted.
    named: BTreeSet<(u64, u64)>,
}

impl Look {
    /// What goes meanwhile is not there.
    fn folder(&mut self, folder: &Path, depth: usize) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            self.entries += 1;
            if self.entries > MOST_ENTRIES || depth > DEEPEST {
                self.seen.partial = true;
                return;
            }
            let Ok(about) = entry.metadata() else { continue };
            if about.nlink() < 2 || about.is_dir() || self.named.insert((about.dev(), about.ino())) {
                self.seen.bytes += about.blocks() * BLOCK;
            }
            if about.is_dir() {
                self.folder(&entry.path(), depth + 1);
            } else if about.is_file() {
                self.seen.files += 1;
                self.seen.written = self.seen.written.max(Timestamp::from_second(about.mtime()).ok());
            }
        }
    }
}
