//! What an app would keep in its own tree, where nothing can be written: databases in the source, and what the settings of
//! Django place there. Told at the build, since at the first upload it is too late.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use tandem_blobs::BlobStore;
use tandem_types::volume::declaration;

use crate::recipe::APP;
use crate::source::Source;

/// First bytes of every database of SQLite.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The smallest page: the size of a database is a multiple of it.
const PAGE: u64 = 512;
/// Databases that a warning names.
const NAMES_SHOWN: usize = 3;

/// What the settings of Django say where no config value says otherwise; paths below the top of the source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Places {
    /// Databases that are files.
    #[serde(default)]
    pub(crate) databases: Vec<String>,
    /// Where uploads go, where that is a folder.
    #[serde(default)]
    pub(crate) media: Option<String>,
}

impl Places {
    /// Without what is no path that people should be shown: code of the app has written it.
    pub(crate) fn plain(self) -> Self {
        let is_plain = |path: &String| path.len() <= 200 && !path.contains(char::is_control);
        Self {
            databases: self.databases.into_iter().filter(is_plain).take(NAMES_SHOWN).collect(),
            media: self.media.filter(is_plain),
        }
    }
}

/// Databases of SQLite in the source, told by their first bytes. Only files whose size may be one are opened.
pub(crate) fn databases(source: &Source, store: &BlobStore) -> Vec<String> {
    let may_be = |size: u64| size >= PAGE && size.is_multiple_of(PAGE);
    let candidates = source.files.iter().filter(|(_, file)| may_be(file.size));
    let found = candidates.filter(|(_, file)| {
        let mut head = Head::default();
        // Broken off by itself; a blob that cannot be read is found by whoever needs the whole of it.
        let _ = store.copy_to(&file.digest, &mut head);
        head.0 == *MAGIC
    });
    found.map(|(path, _)| path.clone()).collect()
}

/// The beginning of a blob; more is refused.
#[derive(Default)]
struct Head(Vec<u8>);

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let missing = MAGIC.len() - self.0.len();
        if missing == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = missing.min(bytes.len());
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// About databases that were sent along; none where there is none that a volume does not hide.
pub(crate) fn sent_warning(databases: &[String], volumes: &BTreeMap<String, String>) -> Option<String> {
    let open: Vec<&str> =
        databases.iter().map(String::as_str).filter(|path| volume_of(path, volumes).is_none()).collect();
    let shown = open.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
    let names = match open.len() {
        0 => return None,
        1 => format!("{shown} in the source is a SQLite database"),
        all if all > NAMES_SHOWN => {
            format!("{shown} and {} more in the source are SQLite databases", all - NAMES_SHOWN)
        }
        _ => format!("{shown} in the source are SQLite databases"),
    };
    Some(format!(
        "{names}: nothing can be written there, and each deploy brings what was sent; {}",
        elsewhere(volumes)
    ))
}

/// About what the settings place in the source.
pub(crate) fn settings_warnings(places: &Places, volumes: &BTreeMap<String, String>) -> Vec<String> {
    let mut warnings = Vec::new();
    for path in places.databases.iter().filter(|path| volume_of(path, volumes).is_none()) {
        warnings.push(format!(
            "the settings place the database at {APP}/{path} where no config value says otherwise, and nothing can be \
             written there; {}",
            elsewhere(volumes)
        ));
    }
    if let Some(media) = places.media.as_ref().filter(|path| volume_of(path, volumes).is_none()) {
        let folder = format!("{APP}/{media}");
        warnings.push(format!(
            "the settings place uploads at {folder} (MEDIA_ROOT), and nothing can be written there; declare a volume in \
             tandem.toml: {}",
            declaration(&folder, volumes)
        ));
    }
    warnings
}

/// The volume that a path of the source lies in.
fn volume_of<'a>(path: &str, volumes: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let path = format!("{APP}/{path}");
    let within = |target: &&String| path == **target || path.starts_with(&format!("{target}/"));
    volumes.values().find(within).map(String::as_str)
}

fn elsewhere(volumes: &BTreeMap<String, String>) -> String {
    match volumes.iter().next() {
        Some((name, path)) => format!("if the app writes to it, keep it in the volume {name}, below {path}"),
        None => format!(
            "if the app writes to it, declare a volume in tandem.toml, {}, and keep it below /data",
            declaration("/data", volumes)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect()
    }

    #[test]
    fn a_database_is_told_by_its_first_bytes_and_not_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let database = format!("SQLite format 3\0{}", "x".repeat(1024 - 16));
        let other = "y".repeat(1024);
        let source = Source::of(
            &store,
            &[("site/notes.dat", &database), ("db.sqlite3", &other), ("README", "SQLite format 3\0")],
        );
        let found = databases(&source, &store);
        assert_eq!(found, ["site/notes.dat"]);
        let warning = sent_warning(&found, &BTreeMap::new()).unwrap();
        assert!(warning.starts_with("site/notes.dat in the source is a SQLite database: "), "{warning}");
        assert!(warning.contains("[volumes] data = \"/data\""), "{warning}");
        assert_eq!(sent_warning(&found, &volumes(&[("notes", "/app/site")])), None, "a volume hides it");
        let held = sent_warning(&found, &volumes(&[("keep", "/keep")])).unwrap();
        assert!(held.ends_with("keep it in the volume keep, below /keep"), "{held}");
    }

    #[test]
    fn what_the_settings_place_in_the_source_is_told_with_the_volume_to_declare() {
        let places =
            Places { databases: vec!["db.sqlite3".to_owned()], media: Some("site/media".to_owned()) };
        let told = settings_warnings(&places, &BTreeMap::new());
        assert!(
            told[0].contains("/app/db.sqlite3") && told[0].contains("[volumes] data = \"/data\""),
            "{told:?}"
        );
        assert!(told[1].ends_with("[volumes] media = \"/app/site/media\""), "{told:?}");
        let with_media = volumes(&[("media", "/app/site/media")]);
        assert_eq!(settings_warnings(&places, &with_media).len(), 1);
    }
}
