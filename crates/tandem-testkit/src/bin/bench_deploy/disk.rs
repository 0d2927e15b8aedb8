//! Which folders a deploy fills: blocks of new files and folders, and of those that went, by what they belong to.
//!
//! Growth of the file system alone hides both: an old instance that is removed pays for a new one. A file with
//! several links counts once, where it was found first.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

/// Bytes on disk by inode, with the folder that each belongs to.
#[derive(Debug, Default)]
pub(crate) struct Survey(HashMap<Inode, (u64, String)>);

/// Device, number and birth: a number alone is given again as soon as its file has gone.
type Inode = (u64, u64, Option<SystemTime>);

/// Bytes that came and bytes that went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) new: u64,
    pub(crate) gone: u64,
}

impl Survey {
    /// Looks at everything below `root`. What vanishes meanwhile is not there.
    pub(crate) fn of(root: &Path) -> Self {
        let mut survey = Self::default();
        survey.enter(root, root);
        survey
    }

    /// What changed until a later survey, by folder.
    pub(crate) fn until(&self, later: &Self) -> BTreeMap<String, Change> {
        let mut changes: BTreeMap<String, Change> = BTreeMap::new();
        for (inode, (bytes, folder)) in &later.0 {
            let before = self.0.get(inode).map_or(0, |(bytes, _)| *bytes);
            let change = changes.entry(folder.clone()).or_default();
            change.new += bytes.saturating_sub(before);
            change.gone += before.saturating_sub(*bytes);
        }
        for (_, (bytes, folder)) in self.0.iter().filter(|(inode, _)| !later.0.contains_key(inode)) {
            changes.entry(folder.clone()).or_default().gone += bytes;
        }
        changes
    }

    fn enter(&mut self, root: &Path, folder: &Path) {
        let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
        // Where a file is found first must not depend on chance.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let inode = (metadata.dev(), metadata.ino(), metadata.created().ok());
            let counted = || (metadata.blocks() * 512, name(path.strip_prefix(root).unwrap_or(&path)));
            let _ = self.0.entry(inode).or_insert_with(counted);
            if metadata.is_dir() {
                self.enter(root, &path);
            }
        }
    }
}

/// What a path below an installation's folder belongs to.
fn name(path: &Path) -> String {
    let mut parts = path.iter().map(|part| part.to_string_lossy());
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    let part = |part: Option<_>| part.unwrap_or_default();
    match (&*part(first), &*part(second), &*part(third)) {
        ("data", "tandem.sqlite3-wal", _) => "store, write-ahead log".to_owned(),
        ("data", file, _) if file.starts_with("tandem.sqlite3") => "store".to_owned(),
        ("data", "runner", folder) if !folder.is_empty() => format!("runner/{folder}"),
        ("data", folder, _) if !folder.is_empty() => folder.to_owned(),
        (first, _, _) => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_once_where_they_belong() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: usize| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            tandem_kit::files::write_atomic(&path, &vec![7; bytes], 0o600).unwrap();
        };
        write("data/runner/cache/a", 100_000);
        write("data/tandem.sqlite3", 10_000);
        write("data/runner/logs/old", 50_000);
        let before = Survey::of(folder.path());
        assert!(before.until(&Survey::of(folder.path())).values().all(|change| *change == Change::default()));
        fs::create_dir_all(folder.path().join("data/runner/trees")).unwrap();
        let linked = ["data/runner/cache/a", "data/runner/trees/a"].map(|path| folder.path().join(path));
        fs::hard_link(&linked[0], &linked[1]).unwrap();
        fs::remove_file(folder.path().join("data/runner/logs/old")).unwrap();
        write("data/blobs/b", 30_000);
        let changes = before.until(&Survey::of(folder.path()));
        assert!(changes["runner/trees"].new < 30_000, "a link is no copy: {changes:?}");
        assert!(changes["runner/logs"].gone >= 50_000, "{changes:?}");
        assert!(changes["blobs"].new >= 30_000, "{changes:?}");
        assert_eq!(changes["runner/cache"], Change::default());
        assert_eq!(changes["store"], Change::default());
    }
}
