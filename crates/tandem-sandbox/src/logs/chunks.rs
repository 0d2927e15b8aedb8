//! The files of a log: `00000001.log`, `00000002.log`, … in one folder; the greatest number is being written. One that is
//! folded is a file itself.

use std::io;
use std::path::{Path, PathBuf};

/// Numbers of the chunks in a folder, oldest first. A missing folder has none.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let number = |name: &str| name.strip_suffix(".log")?.parse().ok();
    let mut numbers: Vec<u64> =
        entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The files of a log, folded or not, oldest first, with their numbers.
pub(super) fn files(log: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    if log.is_file() {
        return Ok(vec![(1, log.to_owned())]);
    }
    Ok(list(log)?.into_iter().map(|number| (number, path(log, number))).collect())
}

/// Path of a chunk.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}
