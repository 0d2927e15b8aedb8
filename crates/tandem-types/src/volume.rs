//! Volumes as they are declared, listed and carried in and out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{AppName, EnvironmentName, HostName, ReleaseNumber, Timestamp};

/// Longest name that is made up for a volume.
const LONGEST_NAME: usize = 40;

/// A volume in `tandem volume list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeLine {
    /// The app; also one that was destroyed, whose volumes stay.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Its name.
    pub name: String,
    /// Where instances of the serving release find it; none: that release does not declare it.
    #[serde(default)]
    pub path: Option<String>,
    /// Releases that take traffic or are kept warm and declare it.
    #[serde(default)]
    pub releases: Vec<ReleaseNumber>,
    /// The host that it is on.
    pub host: HostName,
    /// What the host found.
    #[serde(flatten)]
    pub seen: VolumeSeen,
}

/// What a runner finds of a volume on its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSeen {
    /// Bytes that its files take on the disk, those with several names once.
    pub bytes: u64,
    /// Files in it, folders not counted.
    pub files: u64,
    /// The latest change of a file's content; none where there is no file.
    #[serde(default)]
    pub written: Option<Timestamp>,
    /// Whether the time to look was over before all was seen, so that bytes and files are at least these.
    #[serde(default)]
    pub partial: bool,
    /// What was in it before the last import, in bytes; none where nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_import_bytes: Option<u64>,
}

/// A volume as a runner lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFound {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Its name.
    pub name: String,
    /// What was found.
    #[serde(flatten)]
    pub seen: VolumeSeen,
}

/// An archive that was unpacked beside the volume, and has no effect before it is put in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeStaged {
    /// Names this one; a later archive for the same volume replaces it.
    pub staged: u64,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Puts an archive that was sent before into its volume's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapVolume {
    /// Which one; see [`VolumeStaged`].
    pub staged: u64,
    /// For the journal.
    #[serde(default)]
    pub message: String,
}

/// An archive that is in the volume's place now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeImported {
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Folder on the host that keeps what was there before, until the next import; none where there was nothing.
    #[serde(default)]
    pub before: Option<String>,
    /// Instances that were ended for it, and start again.
    pub restarted: u32,
}

/// The line that declares a volume at this absolute path, as it stands in `tandem.toml`: `[volumes] media = "/app/media"`.
/// Its name is that of the folder, or that with a number where a volume of this name is elsewhere.
#[must_use]
pub fn declaration(path: &str, declared: &BTreeMap<String, String>) -> String {
    let folder = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = free_name(&name_of(folder), declared);
    format!("[volumes] {name} = {path:?}")
}

/// A folder's name made into a volume's.
fn name_of(folder: &str) -> String {
    let mut name = String::new();
    for c in folder.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' => name.push(c),
            '0'..='9' if !name.is_empty() => name.push(c),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.truncate(LONGEST_NAME);
    let name = name.trim_end_matches('-');
    if name.is_empty() { "data".to_owned() } else { name.to_owned() }
}

fn free_name(name: &str, declared: &BTreeMap<String, String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !declared.contains_key(name)).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_called_as_its_folder_is() {
        let declared = BTreeMap::from([("uploads".to_owned(), "/srv/uploads".to_owned())]);
        for (path, line) in [
            ("/app/media", "[volumes] media = \"/app/media\""),
            ("/app/site/User_Files/", "[volumes] user-files = \"/app/site/User_Files/\""),
            ("/app/2024", "[volumes] data = \"/app/2024\""),
            ("/app/uploads", "[volumes] uploads-2 = \"/app/uploads\""),
        ] {
            assert_eq!(declaration(path, &declared), line);
        }
    }

    #[test]
    fn what_a_host_finds_is_sent_flat() {
        let line = r#"{"app":"shop","environment":"production","name":"data","path":"/data","releases":["r1"],"host":"box","bytes":4096,"files":1,"written":"2026-11-21T12:00:00Z","partial":false}"#;
        let read: VolumeLine = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
    }
}
