//! Reads the work tree once per test: files, manifests, line counts and cargo's dependency tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tandem_testkit::program::Program;

/// Folders that hold no source of ours.
const SKIPPED: [&str; 6] = [".git", "target", ".demo", ".bench", ".venv", "staticfiles"];

/// The work tree of this repository.
pub(crate) struct WorkTree {
    root: PathBuf,
}

/// One text file.
pub(crate) struct File {
    /// Path from the root of the work tree.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

impl WorkTree {
    pub(crate) fn open() -> Self {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates lie in a folder");
        Self { root: crates.parent().expect("that folder lies in the work tree").to_owned() }
    }

    /// Whether a path from the root leads to something.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.root.join(path).exists()
    }

    /// All files with this extension, in the order of their paths.
    pub(crate) fn files_with(&self, extension: &str) -> Vec<File> {
        let mut paths = Vec::new();
        collect(&self.root, &|path| path.extension().is_some_and(|found| found == extension), &mut paths);
        paths.sort();
        paths.iter().map(|path| self.read(path)).collect()
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> String {
        self.read(&self.root.join(path)).text
    }

    /// Everything that lies in a folder called `golden` of a crate, by its path from the root.
    pub(crate) fn golden_files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut paths = Vec::new();
        let is_golden = |path: &Path| path.iter().any(|part| part == "golden");
        collect(&self.root.join("crates"), &is_golden, &mut paths);
        let read = |path: PathBuf| {
            let content = fs::read(&path).expect("the file stays while tests run");
            let path = path.strip_prefix(&self.root).expect("only paths below the root are read");
            (path.to_string_lossy().into_owned(), content)
        };
        paths.into_iter().map(read).collect()
    }

    /// Manifests of all crates by the crate's folder.
    pub(crate) fn manifests(&self) -> BTreeMap<String, toml::Table> {
        let folders = self.names_in("crates");
        let parse = |folder: &String| {
            let text = self.read(&self.root.join("crates").join(folder).join("Cargo.toml")).text;
            (folder.clone(), text.parse().expect("cargo has read this manifest already"))
        };
        folders.iter().map(parse).collect()
    }

    /// Lines of Rust by crate, tests within its sources included. Its folder `tests` is to the compiler a crate of its own
    /// that sees the other from outside, and counts as one here: `CRATE/tests`.
    pub(crate) fn lines_by_crate(&self) -> BTreeMap<String, usize> {
        let mut lines = BTreeMap::new();
        for file in self.files_with("rs") {
            let mut parts = file.path.split('/');
            if let (Some("crates"), Some(folder), Some(below)) = (parts.next(), parts.next(), parts.next()) {
                let name = if below == "tests" { format!("{folder}/tests") } else { folder.to_owned() };
                *lines.entry(name).or_default() += file.text.lines().count();
            }
        }
        lines
    }

    /// Every crate that a build for Linux compiles, ours included, as `name vX.Y.Z`.
    pub(crate) fn crates_built_for_linux(&self) -> BTreeSet<String> {
        let arguments = "tree --workspace --locked --offline --prefix none --edges normal,build \
                         --target x86_64-unknown-linux-gnu";
        let outcome = Program::new(env!("CARGO"))
            .arguments(arguments.split_whitespace())
            .folder(&self.root)
            .run()
            .expect_success();
        let name = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        outcome.stdout.lines().map(name).filter(|name| !name.is_empty()).collect()
    }

    /// Names in a folder, sorted; none where it is not there.
    pub(crate) fn names_in(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return Vec::new() };
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("the folder stays while tests run").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn read(&self, path: &Path) -> File {
        let text = fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("failed to read {} as text: {error}", path.display()));
        let path = path.strip_prefix(&self.root).expect("only paths below the root are read");
        File { path: path.to_string_lossy().into_owned(), text }
    }
}

fn collect(folder: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("the folder stays while tests run");
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().expect("the folder stays while tests run");
        if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
            collect(&path, wanted, found);
        } else if kind.is_file() && wanted(&path) {
            found.push(path);
        }
    }
}
