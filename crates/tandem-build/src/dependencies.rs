//! The dependency part: a virtual environment at `/app/.venv`, installed by uv, compiled, kept by what it was made of.
//!
//! Its key is everything that decides what gets installed: lock file or requirements, local packages they name, the
//! parts of `pyproject.toml` that matter, interpreter, platform and uv. Same key, same part: nothing runs. The
//! folder that was installed is kept, too, so that later commands of a build have it without writing 7,000 files again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tandem_blobs::{BlobStore, TreeSummary, export, ingest, ingest_folder, store};
use tandem_sandbox::Network;
use tandem_types::Digest;
use tandem_types::tree::Entry;

use crate::bytecode::COMPILE;
use crate::error::io_error;
use crate::installed::{Installed, Keys};
use crate::python::Python;
use crate::recipe::{APP, VENV};
use crate::requirements::{Declared, Requirements, normal};
use crate::server::Server;
use crate::workshop::{Call, TOOLS, Workshop, real_folder};
use crate::{Error, Events, platform, survey};

/// How what is installed is remembered.
pub(crate) const KEPT: Keys = Keys { file: "dependencies.json", version: 2, most: 8 };
/// Packages in a build's record; the largest apps have some hundreds.
const MOST_PACKAGES: usize = 2000;
/// Installed folders kept.
const MOST_FOLDERS: usize = 2;

/// What an installation is made with.
pub(crate) struct Inputs<'a> {
    pub(crate) requirements: &'a Requirements,
    pub(crate) python: &'a Python,
    pub(crate) uv: &'a Path,
    /// What `uv --version` says.
    pub(crate) uv_version: &'a str,
    /// The web server that is added to them.
    pub(crate) server: Option<Server>,
}

impl Inputs<'_> {
    /// Digest of everything that decides what gets installed.
    pub(crate) fn key(&self) -> Digest {
        let declared = match self.requirements.declared {
            Declared::Lock => "lock",
            Declared::Requirements => "requirements",
            Declared::Project => "project",
        };
        let server = self.server.map(|server| [&[server.requirement()], server.extras()].concat());
        let key = serde_json::json!([
            KEPT.version,
            declared,
            server,
            self.requirements.inputs,
            self.requirements.project,
            [&self.requirements.folder, &self.requirements.file],
            [&self.requirements.extras, &self.requirements.groups],
            self.python.recorded(),
            self.uv_version,
            platform::describe(),
            // How it is compiled is part of what it is.
            tandem_blobs::tree::digest_of(COMPILE),
        ]);
        tandem_blobs::tree::digest_of(key.to_string().as_bytes())
    }
}

/// Compiles what was installed. Files that do not compile are common (templates, code of other versions) and left alone.
pub(crate) async fn compile(shop: &Workshop, python: &Python, events: Events<'_>) -> Result<(), Error> {
    let venv = venv(shop)?;
    survey::check("the installation", &venv)?;
    let mut sources = Vec::new();
    // A build script can put a link to any folder of the host in its place.
    let Some(lib) = real_folder(&venv, "lib") else {
        return Err(Error::NoFolder { what: "the installation", path: venv.join("lib") });
    };
    list_python_files(&lib, "", &mut sources)?;
    sources.sort();
    shop.put_tool("compile.py", COMPILE)?;
    shop.put_tool("sources", sources.join("\n").as_bytes())?;
    let workers = if sources.len() > 400 { "2" } else { "1" };
    let lib = format!("{VENV}/lib");
    let call = Call {
        what: "the compiler of bytecode",
        command: format!(
            "\"$PYTHON\" -I -S \"$TOOLS/compile.py\" .venv/lib {lib} .venv/lib \"$TOOLS/sources\" {workers}"
        ),
        cwd: APP,
        environment: BTreeMap::from([("PYTHON".to_owned(), python.path_text().to_owned())]),
        mounts: shop.mounts(),
        network: Network::None,
        is_shown: false,
    };
    let outcome = shop.run(call, events).await?;
    if outcome.succeeded() {
        return Ok(());
    }
    let reason = format!("{} in {TOOLS}", outcome.exit);
    Err(Error::Unexpected { what: "the compiler of bytecode", reason, lines: outcome.last_lines })
}

/// Keeps what was installed: blobs in the store, the folder for later commands, the key for the next build.
pub(crate) fn keep(
    shop: &Workshop,
    store: &BlobStore,
    python: &Python,
    key: Digest,
) -> Result<Installed, Error> {
    let venv = venv(shop)?;
    let leave_out = |path: &Path| is_not_part(path);
    let rules = ingest::Rules { interpreter: Some(python.path_text()), leave_out: Some(&leave_out) };
    let TreeSummary { digest: tree, files, bytes, .. } = ingest_folder(&venv, store, &rules)?;
    let installed = Installed { tree, files, bytes, packages: count_packages(&venv)? };
    let folders = folders(shop);
    tandem_kit::files::ensure_dir(&folders, 0o700)?;
    let folder = folders.join(tree.to_string());
    if !folder.exists() {
        fs::rename(&venv, &folder).map_err(io_error("keep", &folder))?;
    }
    remove_old_folders(&folders, &folder)?;
    KEPT.remember(&shop.folder, key, installed);
    Ok(installed)
}

/// The folder of installed dependencies, to be mounted read-only; laid out again where it is gone.
pub(crate) fn folder(
    shop: &Workshop,
    store: &BlobStore,
    python: &Python,
    tree: &Digest,
) -> Result<PathBuf, Error> {
    let folders = folders(shop);
    let folder = folders.join(tree.to_string());
    if !folder.exists() {
        tandem_kit::files::ensure_dir(&folders, 0o700)?;
        let aside = shop.work("dependencies");
        let options = export::Options { owner: None, interpreter: Some(python.path_text()) };
        export::export(store, tree, &aside, options)?;
        fs::rename(&aside, &folder).map_err(io_error("keep", &folder))?;
        remove_old_folders(&folders, &folder)?;
    }
    Ok(folder)
}

/// What is in the environment and no part of what was installed: uv's marks, and times in what it remembers.
fn is_not_part(path: &Path) -> bool {
    let top = [".gitignore", ".lock", "CACHEDIR.TAG"];
    path.to_str().is_some_and(|path| top.contains(&path))
        || path.file_name().is_some_and(|n| n == "uv_cache.json")
}

fn venv(shop: &Workshop) -> Result<PathBuf, Error> {
    let app = shop.work("app");
    real_folder(&app, ".venv").ok_or_else(|| Error::Unexpected {
        what: "uv",
        reason: "it left no environment behind".to_owned(),
        lines: Vec::new(),
    })
}

fn list_python_files(folder: &Path, prefix: &str, found: &mut Vec<String>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let entry = entry.map_err(io_error("list", folder))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let file_type = entry.file_type().map_err(io_error("list", folder))?;
        if file_type.is_dir() {
            list_python_files(&entry.path(), &format!("{prefix}{name}/"), found)?;
        } else if file_type.is_file() && name.ends_with(".py") && !name.contains('\n') {
            found.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

fn count_packages(venv: &Path) -> Result<u64, Error> {
    let lib = venv.join("lib");
    let mut count = 0;
    for python in fs::read_dir(&lib).map_err(io_error("list", &lib))?.filter_map(Result::ok) {
        let Some(folder) =
            python.file_name().to_str().and_then(|name| real_folder(&lib, &format!("{name}/site-packages")))
        else {
            continue;
        };
        let packages = fs::read_dir(folder).into_iter().flatten();
        let is_package = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| package(name).is_some());
        count += packages.filter_map(Result::ok).filter(|entry| is_package(&entry.file_name())).count();
    }
    Ok(count as u64)
}

/// Name, in its normal form, and version of everything that is installed, by the names of the folders in which installers say
/// so (`django_allauth-65.0.dist-info`).
pub(crate) fn packages(store: &BlobStore, tree: &Digest) -> Result<BTreeMap<String, String>, store::Error> {
    let mut packages = BTreeMap::new();
    let Some(Entry::Folder { digest: lib }) = store.lookup(tree, "lib")? else { return Ok(packages) };
    for python in store.read_tree(&lib)?.entries.into_keys() {
        let path = format!("lib/{python}/site-packages");
        let Some(Entry::Folder { digest }) = store.lookup(tree, &path)? else { continue };
        packages.extend(store.read_tree(&digest)?.entries.keys().filter_map(|name| package(name)));
    }
    // A build's record is read and sent often, and a package could make as many folders as it likes.
    while packages.len() > MOST_PACKAGES {
        packages.pop_last();
    }
    Ok(packages)
}

/// Name and version of the package that a folder of its installer is about.
fn package(folder: &str) -> Option<(String, String)> {
    let (name, version) = folder.strip_suffix(".dist-info")?.rsplit_once('-')?;
    let plain =
        |text: &str| !text.is_empty() && text.len() <= 100 && text.chars().all(|c| c.is_ascii_graphic());
    (plain(name) && plain(version)).then(|| (normal(name), version.to_owned()))
}

/// Removes all but the newest and the one before it.
pub(crate) fn remove_old_folders(folders: &Path, newest: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(folders).map_err(io_error("list", folders))?;
    let mut others: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path() != newest)
        // What bears another name is not of our making.
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<Digest>().is_ok()))
        .map(|entry| {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            (changed.unwrap_or(SystemTime::UNIX_EPOCH), entry.path())
        })
        .collect();
    others.sort_by_key(|(changed, _)| std::cmp::Reverse(*changed));
    for (_, path) in others.into_iter().skip(MOST_FOLDERS - 1) {
        tandem_kit::files::remove_tree(&path).map_err(io_error("remove", &path))?;
    }
    Ok(())
}

fn folders(shop: &Workshop) -> PathBuf {
    shop.folder.join("dependencies")
}
