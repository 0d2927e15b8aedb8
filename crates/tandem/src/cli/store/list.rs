//! `tandem store restore --list`: the snapshots, and how one is named.

use std::path::{Path, PathBuf};

use tandem_kit::stamp;
use tandem_kit::version::Version;
use tandem_store::sqlite::snapshots::{Snapshot, Snapshots};

use super::failed;
use crate::failure::Failure;
use crate::output::{Style, Table, bytes, local_time};

/// A table of all.
pub(super) fn table(all: &[Snapshot], style: Style) -> String {
    let mut table = Table::new(&["SNAPSHOT", "TAKEN", "REASON", "VERSION", "REVISION", "SIZE"]);
    for one in all {
        table.row(vec![
            name(one).into(),
            local_time(one.time).into(),
            one.reason.to_string().into(),
            one.version.clone().into(),
            one.revision.to_string().into(),
            bytes(one.bytes).into(),
        ]);
    }
    table.render(style, "no snapshots yet; the first is taken within minutes of the first change")
}

/// As people type it.
pub(super) fn name(snapshot: &Snapshot) -> String {
    snapshot.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The snapshot that is meant: the latest that this version understands where none is named, else one of the list or any
/// file. One of a newer generation is refused: its documents under this version's stamp are what the stamp is to prevent.
pub(super) fn find(snapshots: &Snapshots, named: Option<PathBuf>, root: &Path) -> Result<PathBuf, Failure> {
    let Some(named) = named else {
        let latest = snapshots.latest().map_err(|error| failed(&error))?.map(|latest| latest.path);
        return latest.ok_or_else(|| {
            Failure::new(format!(
                "there is no snapshot of Tandem {} or older in {}",
                Version::current().name,
                snapshots.folder().display()
            ))
            .hint("name a copy of the store: `tandem store restore FILE`")
        });
    };
    let all = snapshots.list().map_err(|error| failed(&error))?;
    let listed = all.into_iter().find(|one| Path::new(&name(one)) == named).map(|one| one.path);
    let found = listed.or_else(|| Some(named.clone()).filter(|file| file.is_file()));
    let found = found.ok_or_else(|| {
        Failure::new(format!("there is no snapshot {}", named.display())).hint("tandem store restore --list")
    })?;
    match Snapshot::at(&found) {
        Some(one) if one.is_known() => Ok(found),
        Some(one) => Err(newer(&found, &format!("is of Tandem {}", one.version), root)),
        // A file of any name: in a newer version's folder it is taken for that one's. Elsewhere it may be a copy from there all
        // the same, of which its documents tell once it is read: `restore::ensure_known`.
        None if stamp::check(root).is_ok() => Ok(found),
        None => Err(newer(&found, "does not say by its name which version it is of", root)),
    }
}

/// The refusal of a file that a newer version wrote.
pub(super) fn newer(file: &Path, what: &str, root: &Path) -> Failure {
    let own = &Version::current().name;
    Failure::new(format!("{} {what}, this is {own}", file.display())).code("newer_snapshot").hint(format!(
        "nothing was changed; `tandem store restore --data {}` takes the latest one of {own} or older",
        root.display()
    ))
}

#[cfg(test)]
mod tests {
    use tandem_kit::stamp::Stamp;

    use super::*;

    #[test]
    fn in_a_newer_versions_folder_the_latest_of_this_one_is_meant_and_no_other_is_accepted() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let snapshots = Snapshots::of(root.join("tandem.sqlite3"));
        std::fs::create_dir(snapshots.folder()).expect("a folder");
        let older = snapshots.folder().join("20261121T120000Z_7_upgrade_0.1.0.sqlite3");
        let newer = snapshots.folder().join("20261121T130000Z_9_hourly_9.0.0_g9.sqlite3");
        let copy = root.join("copy.sqlite3");
        for file in [&older, &newer, &copy] {
            std::fs::File::create(file).expect("a file");
        }
        let find = |named: Option<&Path>| find(&snapshots, named.map(Path::to_owned), root).ok();
        assert_eq!(find(Some(&copy)), Some(copy.clone()), "the folder says that it is no newer one's");
        let stamp = Stamp { generation: 9, version: "9.0.0".to_owned(), from: None };
        stamp.write(root).expect("a stamp");
        assert_eq!(find(None), Some(older.clone()));
        assert_eq!(find(older.file_name().map(Path::new)), Some(older.clone()));
        for refused in [newer.file_name().map(Path::new), Some(&newer), Some(&copy)] {
            assert_eq!(find(refused), None, "{refused:?}");
        }
    }
}
