//! What a git that was killed leaves in a bare repository.
//!
//! A fetch ends by SIGKILL when its time is up, when nobody waits for it any more, when memory runs out and when the
//! power fails. git then removes neither its locks nor its half-written packs, and each later fetch ends with
//! `Unable to create 'shallow.lock': File exists`. Where the power fails, files may be left that are empty. Only under the app's lock: nobody else works in the repository, so
//! whatever lock is there, nobody holds it.

use std::fs;
use std::io;
use std::path::Path;

use tandem_kit::files;

use crate::error::io_error;

/// Folders in one another; git's own are five.
const DEEPEST: usize = 64;

/// Gives the repository up where a git was killed in it: the next fetch is as long as the first one was, and starts
/// from what is whole. Says whether it did.
pub(super) fn give_up_if_broken(repository: &Path) -> Result<bool, crate::Error> {
    let is_broken = match has_leftovers(repository, DEEPEST) {
        Ok(is_broken) => is_broken,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        // What cannot be looked through is no repository that a fetch could work in either.
        Err(_) => true,
    };
    if is_broken {
        files::remove_tree(repository).map_err(io_error("remove", repository))?;
    }
    Ok(is_broken)
}

fn has_leftovers(folder: &Path, depth: usize) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Of the entry itself: links are not followed.
        let metadata = entry.metadata()?;
        let is_empty = metadata.is_file() && metadata.len() == 0;
        if is_leftover(&entry.file_name().to_string_lossy(), is_empty) {
            return Ok(true);
        }
        if metadata.is_dir() && (depth == 0 || has_leftovers(&entry.path(), depth - 1)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// No reference may be called so (`git check-ref-format`), and no object is. Of git's own files only the list of what a fetch
/// brought may be empty.
fn is_leftover(name: &str, is_empty: bool) -> bool {
    name.ends_with(".lock") || name.starts_with("tmp_") || is_empty && name != "FETCH_HEAD"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for path in [&["HEAD", "objects/pack/pack-1.pack", "refs/heads/x", "shallow"], files].concat() {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a new folder");
            files::write_atomic_unsynced(&path, b"x", 0o644).expect("a new file");
        }
        folder
    }

    #[test]
    fn a_repository_in_which_git_was_killed_is_given_up_and_a_whole_one_stays() {
        for left in [
            "shallow.lock",
            "config.lock",
            "packed-refs.lock",
            "refs/tandem/source.lock",
            "objects/pack/tmp_pack_aBc",
            "objects/pack/tmp_idx_aBc",
            "objects/12/tmp_obj_aBc",
        ] {
            let folder = repository(&[left]);
            assert!(give_up_if_broken(folder.path()).expect("it can be removed"), "{left}");
            assert!(!folder.path().exists(), "{left}");
        }
        let torn = repository(&[]);
        files::write_atomic_unsynced(&torn.path().join("refs/heads/y"), b"", 0o644).expect("a new file");
        assert!(give_up_if_broken(torn.path()).expect("it can be removed"));
        let whole = repository(&[]);
        files::write_atomic_unsynced(&whole.path().join("FETCH_HEAD"), b"", 0o644).expect("a new file");
        assert!(!give_up_if_broken(whole.path()).expect("nothing is removed"));
        assert!(whole.path().join("objects/pack/pack-1.pack").exists());
        assert!(!give_up_if_broken(&whole.path().join("nowhere")).expect("there is none"));
    }

    #[test]
    fn links_are_not_followed() {
        let (folder, other) = (repository(&[]), repository(&["a.lock"]));
        std::os::unix::fs::symlink(other.path(), folder.path().join("objects/out")).expect("a link");
        assert!(!give_up_if_broken(folder.path()).expect("nothing is removed"));
    }
}
