//! Logs that are over, in one file each.
//!
//! A log costs a folder, a file that says whose it is and a chunk: three blocks for what is mostly some lines. When nobody
//! writes any more, a log of one chunk becomes `<name>.log` beside its folder `<name>`, by a rename, so that it is whole at
//! every moment; whose it is stands in its head. A larger one stays as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{chunks, format};

/// Most bytes of a head; real ones have some hundred.
const MOST_HEAD_BYTES: u64 = 4096;

/// Where the log of a folder is once it is folded.
#[must_use]
pub fn folded(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".log");
    dir.with_file_name(name)
}

/// Folds a log that has one chunk, with a head, and was not folded before. True when it is folded and the folder has no
/// chunk any more; what else is in the folder is left to the caller. Nobody may write to it any more; who follows it has
/// the file open and goes on.
///
/// # Errors
/// The folder cannot be read, or the disk refuses.
pub fn fold(dir: &Path) -> io::Result<bool> {
    let to = folded(dir);
    match chunks::list(dir)?[..] {
        // Moved before a crash.
        [] => Ok(to.exists()),
        [only] if !to.exists() && tags(dir).is_some() => {
            std::fs::rename(chunks::path(dir, only), to)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The tags of a log, folded or not ([`super::Settings::tags`]); none where it has no head yet.
#[must_use]
pub fn tags(log: &Path) -> Option<BTreeMap<String, String>> {
    let first = match log.is_dir() {
        true => chunks::path(log, *chunks::list(log).ok()?.first()?),
        false => log.to_owned(),
    };
    let mut head = Vec::new();
    BufReader::new(File::open(first).ok()?.take(MOST_HEAD_BYTES)).read_until(b'\n', &mut head).ok()?;
    format::read_head(&head)
}
