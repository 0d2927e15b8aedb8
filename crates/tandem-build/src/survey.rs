//! How much a command may leave behind, looked at before Tandem itself reads it.
//!
//! The command had its limits; what reads its files afterwards is the server, which has none. A file with a hole of
//! 8 TiB costs a command nothing and would cost the server hours.

use std::fs;
use std::path::{Path, PathBuf};

use tandem_blobs::tree;

use crate::Error;
use crate::error::io_error;
use crate::workshop::ensure_real;

/// Longest file: what one frame of a transfer can hold.
const MAX_FILE_BYTES: u64 = 4 << 30;
/// All files together, as they read, holes included.
const MAX_BYTES: u64 = 32 << 30;

/// Refuses a folder that is deeper, has more entries or more bytes than a build can hold. Links are not followed, and a link
/// in its own place is refused. Who calls knows that what is above the folder is real.
pub(crate) fn check(what: &'static str, folder: &Path) -> Result<(), Error> {
    ensure_real(what, folder)?;
    let too_much = |reason: String| Error::TooMuch { what, reason };
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    let mut waiting: Vec<(PathBuf, usize)> = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        if depth > tree::MAX_DEPTH {
            return Err(too_much(format!("folders {depth} deep, {} allowed", tree::MAX_DEPTH)));
        }
        for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
            let entry = entry.map_err(io_error("list", &folder))?;
            let metadata = entry.metadata().map_err(io_error("look at", &entry.path()))?;
            entries += 1;
            if entries > tree::MAX_ENTRIES {
                return Err(too_much(format!("more than {} files and folders", tree::MAX_ENTRIES)));
            }
            if metadata.is_dir() {
                waiting.push((entry.path(), depth + 1));
            } else if metadata.is_file() {
                bytes = bytes.saturating_add(metadata.len());
                if metadata.len() > MAX_FILE_BYTES {
                    let name = entry.file_name();
                    let (size, most) = (metadata.len() >> 20, MAX_FILE_BYTES >> 20);
                    return Err(too_much(format!(
                        "the file {} of {size} MiB, {most} allowed",
                        name.display()
                    )));
                }
            }
        }
        if bytes > MAX_BYTES {
            return Err(too_much(format!("{} MiB, {} allowed", bytes >> 20, MAX_BYTES >> 20)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(folder: &Path) -> String {
        match check("collectstatic", folder) {
            Err(Error::TooMuch { reason, .. }) => reason,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_hole_of_terabytes_and_a_pit_of_folders_are_refused_before_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("a/root")).unwrap();
        fs::File::create(folder.path().join("a/b/c")).unwrap().set_len(MAX_FILE_BYTES).unwrap();
        check("collectstatic", folder.path()).unwrap();
        let hole = fs::File::create(folder.path().join("hole")).unwrap();
        hole.set_len(8 << 40).unwrap();
        assert_eq!(reason(folder.path()), "the file hole of 8388608 MiB, 4096 allowed");
        hole.set_len(0).unwrap();
        for number in 0..8 {
            let file = fs::File::create(folder.path().join(number.to_string())).unwrap();
            file.set_len(MAX_FILE_BYTES).unwrap();
        }
        assert_eq!(reason(folder.path()), "36864 MiB, 32768 allowed");
        let pit = tempfile::tempdir().unwrap();
        fs::create_dir_all(pit.path().join("d/".repeat(tree::MAX_DEPTH + 1))).unwrap();
        assert_eq!(reason(pit.path()), "folders 129 deep, 128 allowed");
    }
}
