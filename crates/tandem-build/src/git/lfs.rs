//! Git LFS keeps large files elsewhere and commits pointers to them. An app that gets a pointer in place of an image
//! breaks in ways nobody understands, so a source with one is refused.
//!
//! The server does not run `git lfs`: it would take bandwidth that people pay for, from a server of the repository's
//! choosing, for every deploy.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tandem_types::problem::Problem;

/// How each pointer begins: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
const BEGINNING: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// No pointer is longer, by the same document.
const LONGEST: u64 = 1024;
/// Pointers that are looked for.
const MOST_POINTERS: usize = 100;
/// Names that are told.
const NAMES_SHOWN: usize = 3;

/// Whether this is a pointer and not the file that it points to.
#[must_use]
pub fn is_pointer(content: &[u8]) -> bool {
    content.len() as u64 <= LONGEST && content.starts_with(BEGINNING)
}

/// Paths of pointers below a folder, sorted; where there are some there may be thousands, of which not all are looked for.
///
/// # Errors
/// What cannot be read.
pub fn pointers_below(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = waiting.pop().filter(|_| found.len() < MOST_POINTERS) {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() && is_pointer_file(&path)? {
                found.push(path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned());
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn is_pointer_file(path: &Path) -> io::Result<bool> {
    if fs::symlink_metadata(path)?.len() > LONGEST {
        return Ok(false);
    }
    let mut content = Vec::new();
    fs::File::open(path)?.take(LONGEST + 1).read_to_end(&mut content)?;
    Ok(is_pointer(&content))
}

/// What people get where files are pointers.
#[must_use]
pub fn problem(paths: &[String]) -> Problem {
    let named = paths.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let others = paths.len().saturating_sub(NAMES_SHOWN);
    let title = match (paths.len(), others) {
        (1, _) => format!("{named} is kept in Git LFS: the commit has only a pointer to it"),
        (_, 0) => format!("{named} are kept in Git LFS: the commit has only pointers to them"),
        _ => format!("{named} and {others} more are kept in Git LFS: the commit has only pointers to them"),
    };
    let first = paths.first().map_or("PATH", String::as_str);
    Problem::new(422, "git_lfs_pointer", title).hint(format!(
        "in a clone with git-lfs (apt-get install git-lfs) type `git lfs pull`, then `tandem deploy` there sends the \
         files themselves; or take them out of LFS: `git lfs migrate export --include={first}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_told_from_a_file_that_speaks_of_one() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n";
        assert!(is_pointer(pointer));
        assert!(!is_pointer(b"See version https://git-lfs.github.com/spec/v1\n"));
        assert!(!is_pointer(&[&pointer[..], &[b'x'; 2000]].concat()));
        let names: Vec<String> = (1..=5).map(|number| format!("img/{number}.png")).collect();
        assert!(problem(&names).title.starts_with("img/1.png, img/2.png, img/3.png and 2 more are kept"));
        assert!(problem(&names[..1]).title.starts_with("img/1.png is kept"));
    }
}
