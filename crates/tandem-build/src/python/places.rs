//! Where interpreters are, by absolute path: the machine's folders and Tandem's own.
//!
//! Never by `PATH`: what a version manager puts there is a script, in somebody's home that instances cannot read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tandem_kit::paths::{DataDir, PYTHONS};
use tandem_types::instance::Isolation;

use super::is_elf;

/// The machine's folders; of two with the same version the first counts.
pub(crate) const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

/// An interpreter that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interpreter {
    /// `11` of Python 3.11.
    pub(crate) minor: u32,
    /// On this machine.
    pub(crate) file: PathBuf,
    /// As commands of builds and instances see it.
    pub(crate) seen: PathBuf,
    /// Whether the machine calls it `python3`: its modules are the most complete.
    pub(crate) is_default: bool,
}

/// Where to look.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    system: Vec<PathBuf>,
    own: PathBuf,
    isolation: Isolation,
}

impl Places {
    pub(crate) fn new(system: &[PathBuf], data: &DataDir, isolation: Isolation) -> Self {
        Self { system: system.to_vec(), own: data.pythons(), isolation }
    }

    /// Folder of Tandem's own.
    pub(crate) fn own(&self) -> &Path {
        &self.own
    }

    /// Where is looked, for people.
    pub(crate) fn describe(&self) -> String {
        let system = self.system.iter().map(|folder| format!("{}/python3.*", folder.display()));
        let own = format!("{}/*/bin/python3.*", self.own.display());
        system.chain([own]).collect::<Vec<_>>().join(", ")
    }

    /// All of them: the machine's own first, then by folder, and in the folder the latest first.
    pub(crate) fn interpreters(&self) -> Vec<Interpreter> {
        let default = default_of(&self.system);
        let mut found = Vec::new();
        for folder in &self.system {
            found.extend(in_folder(folder).into_iter().map(|(minor, file)| {
                let is_default = default.as_ref() == Some(&file);
                Interpreter { minor, seen: file.clone(), file, is_default }
            }));
        }
        for name in names(&self.own) {
            let folder = self.own.join(&name).join("bin");
            found.extend(in_folder(&folder).into_iter().map(|(minor, file)| {
                let seen = match self.isolation {
                    Isolation::Sandbox => {
                        Path::new(PYTHONS).join(&name).join("bin").join(format!("python3.{minor}"))
                    }
                    Isolation::Plain => file.clone(),
                };
                Interpreter { minor, file, seen, is_default: false }
            }));
        }
        found.retain(|interpreter| is_plain(&interpreter.seen));
        found.sort_by_key(|interpreter| !interpreter.is_default);
        found
    }
}

/// Puts those that fit into the order in which they are taken: the machine's own, then, where a range is asked for, the
/// earliest, which is nearest to what the source was written for; where nothing is, the latest.
pub(crate) fn in_order(mut fitting: Vec<Interpreter>, is_asked: bool) -> Vec<Interpreter> {
    let minor = |interpreter: &Interpreter| i64::from(interpreter.minor) * if is_asked { 1 } else { -1 };
    fitting.sort_by_key(|interpreter| (!interpreter.is_default, minor(interpreter)));
    fitting
}

/// The machine's own, for what needs any: the tools that Tandem installs for itself.
pub(crate) fn any_of_machine() -> Option<PathBuf> {
    let folders = FOLDERS.map(PathBuf::from);
    default_of(&folders).or_else(|| Some(in_folder(folders.first()?).first()?.1.clone()))
}

/// The real file that is called `python3`.
fn default_of(folders: &[PathBuf]) -> Option<PathBuf> {
    let real = |folder: &PathBuf| fs::canonicalize(folder.join("python3")).ok().filter(|path| is_elf(path));
    folders.iter().find_map(real)
}

/// Real executables called `python3.N` in a folder, latest first.
fn in_folder(folder: &Path) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let minor = entry.file_name().to_str()?.strip_prefix("python3.")?.parse().ok()?;
            // Not followed: a link is another name of one that is found as well, or leads out of sight.
            let metadata = entry.metadata().ok()?;
            let is_program = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
            (is_program && is_elf(&entry.path())).then(|| (minor, entry.path()))
        })
        .collect();
    found.sort_by_key(|(minor, _)| std::cmp::Reverse(*minor));
    found
}

/// Real folders in Tandem's own, the one with the highest numbers in its name first: uv calls them by their whole version.
fn names(own: &Path) -> Vec<String> {
    let entries = fs::read_dir(own).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort_by_key(|name| std::cmp::Reverse((numbers(name), name.clone())));
    names
}

fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Whether the path can stand in a build's record and in a link.
fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.contains(|c: char| c.is_control()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, name: &str) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(name);
        fs::copy("/bin/true", &path).unwrap();
        path
    }

    #[test]
    fn only_real_programs_in_the_known_folders_count_and_never_scripts_or_links() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        let bin = folder.path().join("bin");
        put(&bin, "python3.10");
        let own = put(&bin, "python3.11");
        for (target, name) in [("python3.11", "python3"), ("python3.10", "python3.9")] {
            std::os::unix::fs::symlink(target, bin.join(name)).unwrap();
        }
        tandem_kit::files::write_atomic(&bin.join("python3.12"), b"#!/bin/sh\n", 0o755).unwrap();
        let (old, new) = ("cpython-3.13.2-linux", "cpython-3.13.11-linux");
        for name in [old, new, ".temp"] {
            put(&data.pythons().join(name).join("bin"), "python3.13");
        }
        std::os::unix::fs::symlink(new, data.pythons().join("cpython-3.13-linux")).unwrap();
        let places = |isolation| Places::new(&[bin.clone(), folder.path().join("nowhere")], &data, isolation);

        let found = places(Isolation::Sandbox).interpreters();
        let seen: Vec<_> = found.iter().map(|found| found.seen.display().to_string()).collect();
        let below = |name: &str| format!("/opt/tandem/python/{name}/bin/python3.13");
        let expected =
            [own.display().to_string(), bin.join("python3.10").display().to_string(), below(new), below(old)];
        assert_eq!(seen, expected);
        assert!(found[0].is_default && !found[1].is_default);
        let plain = places(Isolation::Plain).interpreters();
        assert_eq!(plain[2].seen, data.pythons().join(new).join("bin/python3.13"));
        assert_eq!(plain[2].seen, plain[2].file);
        data.remove_runtime().unwrap();
    }

    #[test]
    fn the_machines_own_comes_first_then_the_nearest() {
        let one = |minor, is_default| {
            let path = PathBuf::from(format!("/usr/bin/python3.{minor}"));
            Interpreter { minor, file: path.clone(), seen: path, is_default }
        };
        let order = |minors: &[u32], default, is_asked| -> Vec<u32> {
            let all = minors.iter().map(|minor| one(*minor, Some(*minor) == default)).collect();
            in_order(all, is_asked).iter().map(|interpreter| interpreter.minor).collect()
        };
        assert_eq!(order(&[13, 11, 12], Some(12), true), [12, 11, 13]);
        assert_eq!(order(&[13, 11, 12], None, true), [11, 12, 13]);
        assert_eq!(order(&[13, 11, 12], Some(11), false), [11, 13, 12]);
    }

    #[test]
    fn the_machine_has_a_python_for_tandems_own_tools() {
        let path = any_of_machine().unwrap();
        assert!(is_elf(&path) && path.starts_with("/usr"), "{}", path.display());
    }
}
