//! The table that a balancer served last, for whoever puts an older store back: its numbers must not come again.

use std::path::Path;

use tandem_types::routing::Table;

use crate::table::StateFile;

/// The table in a state folder; none where there is none that can be read.
#[must_use]
pub fn saved_table(state_dir: &Path) -> Option<Table> {
    StateFile::new(state_dir.join("state.json")).load().map(|saved| saved.table)
}
