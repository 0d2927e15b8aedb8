//! Bytecode of the app's own source: one file compiled for each that is new.
//!
//! It is unchecked-hash bytecode (PEP 552), made at the path where it will run: identical between builds, and never
//! compared with the source when it is loaded, so first-seen times do not matter to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tandem_blobs::{BlobStore, export};
use tandem_sandbox::{Mount, Network};
use tandem_types::Digest;

use crate::python::Python;
use crate::recipe::APP;
use crate::source::{File, Source};
use crate::workshop::{Call, TOOLS, Workshop, real_folder};
use crate::{Error, Events, kept};

/// The compiler's front: run for dependencies, too.
pub(crate) const COMPILE: &[u8] = include_bytes!("bytecode/compile.py");
const VERSION: u32 = 1;
/// From here on two processes compile.
const MANY: usize = 400;

/// Bytecode by source path, of the build before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    /// What it was compiled with: interpreter and compiler.
    #[serde(default)]
    compiler: String,
    #[serde(default)]
    files: BTreeMap<String, Compiled>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Compiled {
    source: Digest,
    bytecode: Digest,
    size: u64,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    pub(crate) compiled: usize,
    pub(crate) kept: usize,
    /// Files that are not Python, with the reason.
    pub(crate) refused: Vec<String>,
}

/// What is to be done.
pub(crate) struct Plan {
    python: Python,
    known: Known,
    fresh: Vec<(String, File)>,
}

/// Finds out what must be compiled; what is known is put into the source at once.
pub(crate) fn plan(shop: &Workshop, store: &BlobStore, python: &Python, source: &mut Source) -> Plan {
    let compiler = format!("{} {}", python.recorded(), tandem_blobs::tree::digest_of(COMPILE));
    let mut known: Known = kept::read(&known_path(shop), VERSION);
    if known.compiler != compiler {
        known = Known { compiler, files: BTreeMap::new() };
    }
    let python_files: Vec<(String, File)> = source
        .files
        .iter()
        .filter(|(path, _)| path.ends_with(".py") && !path.contains('\n'))
        .map(|(path, file)| (path.clone(), *file))
        .collect();
    known.files.retain(|path, compiled| {
        source.files.get(path).is_some_and(|file| file.digest == compiled.source)
            && store.has(&[compiled.bytecode])[0]
    });
    for (path, compiled) in &known.files {
        add(source, path, python, compiled);
    }
    let fresh = python_files.into_iter().filter(|(path, _)| !known.files.contains_key(path)).collect();
    Plan { python: python.clone(), known, fresh }
}

impl Plan {
    /// Whether nothing must be compiled.
    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.is_empty()
    }

    /// Lays out the files to compile.
    pub(crate) fn lay_out(&self, shop: &Workshop, store: &BlobStore) -> Result<(), Error> {
        let folder = shop.work("bytecode");
        shop.owned_folder(&folder)?;
        shop.owned_folder(&folder.join("out"))?;
        let files = self.fresh.iter().map(|(path, file)| (path.as_str(), file.digest));
        export::export_files(store, files, &folder.join("source"), shop.owner())?;
        let list: Vec<&str> = self.fresh.iter().map(|(path, _)| path.as_str()).collect();
        let write = |name: &str, bytes: &[u8]| {
            tandem_kit::files::write_atomic_unsynced(&folder.join(name), bytes, 0o644)
        };
        write("list", list.join("\n").as_bytes())?;
        write("compile.py", COMPILE)?;
        Ok(())
    }

    /// Compiles; returns what is not Python.
    pub(crate) async fn run(&self, shop: &Workshop, events: Events<'_>) -> Result<Vec<String>, Error> {
        let workers = if self.fresh.len() > MANY { 2 } else { 1 };
        let call = Call {
            what: "the compiler of bytecode",
            command: format!("\"$PYTHON\" -I -S compile.py source {APP} out list {workers}"),
            cwd: TOOLS,
            environment: BTreeMap::from([("PYTHON".to_owned(), self.python.path_text().to_owned())]),
            mounts: vec![Mount::writable(shop.work("bytecode"), TOOLS)],
            network: Network::None,
            is_shown: false,
        };
        let outcome = shop.run(call, events).await?;
        if outcome.succeeded() {
            return Ok(outcome.last_lines.iter().filter_map(|line| refusal(line)).collect());
        }
        let reason = outcome.exit.to_string();
        Err(Error::Unexpected { what: "the compiler of bytecode", reason, lines: outcome.last_lines })
    }

    /// Keeps what was compiled, puts it into the source and remembers it.
    pub(crate) fn keep(
        mut self,
        shop: &Workshop,
        store: &BlobStore,
        source: &mut Source,
    ) -> Result<Summary, Error> {
        let mut summary = Summary { kept: self.known.files.len(), ..Summary::default() };
        let work = shop.work("");
        for (path, file) in &self.fresh {
            let (folder, name) = bytecode_path(path, &self.python.tag);
            // A file that is not Python has none, and a link in its place is nobody's.
            let Some(folder) = real_folder(&work, &format!("bytecode/out/{folder}")) else { continue };
            let made = folder.join(name);
            if !std::fs::symlink_metadata(&made).is_ok_and(|metadata| metadata.is_file()) {
                continue;
            }
            let (bytecode, size) = store.put_file(&made)?;
            let compiled = Compiled { source: file.digest, bytecode, size };
            add(source, path, &self.python, &compiled);
            self.known.files.insert(path.clone(), compiled);
            summary.compiled += 1;
        }
        kept::write(&known_path(shop), VERSION, &self.known);
        Ok(summary)
    }

    /// What is known without compiling anything.
    pub(crate) fn into_summary(self) -> Summary {
        Summary { kept: self.known.files.len(), ..Summary::default() }
    }
}

fn add(source: &mut Source, path: &str, python: &Python, compiled: &Compiled) {
    let (folder, name) = bytecode_path(path, &python.tag);
    let file = File { digest: compiled.bytecode, size: compiled.size, executable: false };
    source.insert(&format!("{folder}/{name}"), file);
}

/// Folder and name of the bytecode of `a/b.py`: `a/__pycache__` and `b.cpython-311.pyc`.
fn bytecode_path(path: &str, tag: &str) -> (String, String) {
    let (folder, name) = match path.rsplit_once('/') {
        Some((folder, name)) => (format!("{folder}/__pycache__"), name),
        None => ("__pycache__".to_owned(), path),
    };
    (folder, format!("{}.{tag}.pyc", name.strip_suffix(".py").unwrap_or(name)))
}

/// The source of `a/__pycache__/b.cpython-311.pyc`: `a/b.py`.
pub(crate) fn source_path(bytecode: &str) -> Option<String> {
    let (folder, name) = bytecode.rsplit_once("__pycache__/")?;
    let stem = name.strip_suffix(".pyc")?.rsplit_once('.')?.0;
    Some(format!("{folder}{stem}.py"))
}

/// A line `path<TAB>line<TAB>message` of the compiler.
fn refusal(line: &str) -> Option<String> {
    let mut parts = line.splitn(3, '\t');
    let (path, number, message) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{path}:{number}: {message}"))
}

fn known_path(shop: &Workshop) -> PathBuf {
    shop.folder.join("bytecode.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytecode_lies_where_python_looks_for_it_and_leads_back_to_its_source() {
        for (path, folder, name) in [
            ("a/b.py", "a/__pycache__", "b.cpython-311.pyc"),
            ("manage.py", "__pycache__", "manage.cpython-311.pyc"),
        ] {
            assert_eq!(bytecode_path(path, "cpython-311"), (folder.to_owned(), name.to_owned()));
            assert_eq!(source_path(&format!("{folder}/{name}")).as_deref(), Some(path));
        }
        assert_eq!(source_path("a/b.py"), None);
        assert_eq!(refusal("a.py\t3\tinvalid syntax").as_deref(), Some("a.py:3: invalid syntax"));
    }
}
