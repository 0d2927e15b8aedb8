//! `tandem store restore --list`: the snapshots, and how one is named.

use std::path::{Path, PathBuf};

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

/// The snapshot that is meant: the latest where none is named, else one of the list or any file.
pub(super) fn find(snapshots: &Snapshots, named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let all = snapshots.list().map_err(|error| failed(&error))?;
    let Some(named) = named else {
        let latest = all.into_iter().next().map(|latest| latest.path);
        return latest.ok_or_else(|| {
            Failure::new(format!("there is no snapshot in {}", snapshots.folder().display()))
                .hint("name a copy of the store: `tandem store restore FILE`")
        });
    };
    let listed = all.into_iter().find(|one| Path::new(&name(one)) == named).map(|one| one.path);
    let found = listed.or_else(|| Some(named.clone()).filter(|file| file.is_file()));
    found.ok_or_else(|| {
        Failure::new(format!("there is no snapshot {}", named.display())).hint("tandem store restore --list")
    })
}
