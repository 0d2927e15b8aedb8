//! A copy of an app's source in a folder of its own, to be changed and deployed.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An app's source that may be edited.
#[derive(Debug)]
pub struct AppFolder {
    _folder: TempDir,
    path: PathBuf,
}

impl AppFolder {
    /// A copy of `examples/guestbook`.
    ///
    /// # Panics
    ///
    /// Where it cannot be copied.
    #[must_use]
    pub fn guestbook() -> Self {
        Self::copy_of(&repository().join("examples/guestbook"))
    }

    /// A copy of a fixture of the testkit.
    ///
    /// # Panics
    ///
    /// Where there is no such fixture.
    #[must_use]
    pub fn fixture(name: &str) -> Self {
        Self::copy_of(&repository().join("crates/tandem-testkit/fixtures").join(name))
    }

    /// A copy of `examples/guestbook` somewhere below `parent`, for whoever cleans that up as a whole.
    ///
    /// # Panics
    ///
    /// Where it cannot be copied.
    #[must_use]
    pub fn guestbook_in(parent: &Path) -> Self {
        let source = repository().join("examples/guestbook");
        let folder = Self::empty_in(tempfile::tempdir_in(parent), "guestbook");
        copy(&source, &folder.path);
        folder
    }

    /// An app with nothing in it.
    ///
    /// # Panics
    ///
    /// Where the temporary folder takes no files.
    #[must_use]
    pub fn empty(name: &str) -> Self {
        Self::empty_in(tempfile::tempdir(), name)
    }

    fn empty_in(folder: std::io::Result<TempDir>, name: &str) -> Self {
        let folder = folder.expect("the temporary folder takes files");
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("the folder is new");
        Self { _folder: folder, path }
    }

    /// A copy of the folder, under the same name.
    ///
    /// # Panics
    ///
    /// Where it cannot be copied.
    #[must_use]
    pub fn copy_of(source: &Path) -> Self {
        let name = source.file_name().expect("an app's folder has a name").to_string_lossy();
        let folder = Self::empty(&name);
        copy(source, &folder.path);
        folder
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file.
    ///
    /// # Panics
    ///
    /// Where that fails.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("folders can be made");
        tandem_kit::files::write_atomic_unsynced(&path, content.as_bytes(), 0o644)
            .unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
    }

    /// Replaces a text that stands exactly once in a file.
    ///
    /// # Panics
    ///
    /// Where it does not: the scenario would test nothing.
    #[track_caller]
    pub fn edit(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {name}");
        self.write(name, &text.replace(old, new));
    }

    /// Changes the one line of the guestbook that people see first.
    #[track_caller]
    pub fn greet(&self, greeting: &str) {
        let name = "entries/views.py";
        let text = fs::read_to_string(self.path.join(name)).expect("the guestbook has views");
        let line = text.lines().find(|line| line.starts_with("GREETING = ")).expect("the guestbook greets");
        self.edit(name, line, &format!("GREETING = {greeting:?}"));
    }
}

/// Root of this repository.
///
/// # Panics
///
/// Never: the crate lies two folders below it.
#[must_use]
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("the crate lies two folders below the root").to_owned()
}

fn copy(source: &Path, target: &Path) {
    let entries = fs::read_dir(source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    for entry in entries {
        let entry = entry.expect("the folder stays while it is copied");
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir(&to).expect("the copy is new");
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guestbook_is_changed_in_its_copy_only() {
        let source = repository().join("examples/guestbook/entries/views.py");
        let before = fs::read_to_string(&source).unwrap();
        let folder = AppFolder::guestbook();
        folder.greet("Other words");
        let copy = fs::read_to_string(folder.path().join("entries/views.py")).unwrap();
        assert!(copy.contains("GREETING = \"Other words\""));
        assert_eq!(fs::read_to_string(&source).unwrap(), before);
    }
}
