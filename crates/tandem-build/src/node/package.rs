//! `package.json` and what lies beside it, as far as a build needs to know.

use std::collections::BTreeSet;

use globset::GlobBuilder;
use serde_json::Value;

use super::Wanted;
use crate::Error;
use crate::source::{Source, below, folders_up};

/// Kinds of dependencies that get installed.
const KINDS: [&str; 3] = ["dependencies", "devDependencies", "optionalDependencies"];
/// npm's own locks.
const LOCKS: [&str; 2] = ["package-lock.json", "npm-shrinkwrap.json"];
/// Locks of others.
const FOREIGN_LOCKS: [&str; 4] = ["yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"];
/// Scripts of a package that npm runs once its packages are installed.
const INSTALL_SCRIPTS: [&str; 7] =
    ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"];

/// How packages get into `node_modules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Installer {
    /// `npm ci`, by this lock file.
    Locked(&'static str),
    /// `npm install`: nothing is locked.
    Unlocked,
}

impl Installer {
    /// What is typed. Scripts of packages run, as everywhere with npm; what is for development is what builds need.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Locked(_) => "npm ci --include=dev --no-audit --no-fund",
            Self::Unlocked => "npm install --include=dev --no-audit --no-fund --no-package-lock",
        }
    }
}

/// A project of Node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Folder of `package.json`.
    pub(crate) folder: String,
    /// Folder in which npm installs: that one, or the top of the workspace that it is part of.
    pub(crate) top: String,
    /// Version of Node.
    pub(crate) wanted: Wanted,
    /// How `node_modules` are made; none where there is nothing to install.
    pub(crate) installer: Option<Installer>,
    /// Whether packages of the repository itself are linked into `node_modules`, which then cannot be kept apart from it.
    pub(crate) is_linked: bool,
    /// Whether there is a `start` script, or the file that `npm start` runs without one.
    pub(crate) has_start: bool,
    /// Whether there is a `build` script.
    pub(crate) has_build: bool,
    /// Its own scripts that run when packages are installed.
    pub(crate) scripts: Vec<String>,
    /// Programs that its packages bring along, as far as the lock or their names say.
    pub(crate) programs: BTreeSet<String>,
    /// What locks the packages in a form that is not read.
    foreign_lock: Option<String>,
}

impl Package {
    /// Reads the nearest one. `said` is the version that `tandem.toml` names.
    ///
    /// # Errors
    /// A file that is not JSON.
    pub(crate) fn read(source: &Source, work: &str, said: Option<&str>) -> Result<Option<Self>, Error> {
        let Some(path) = source.nearest(work, "package.json") else { return Ok(None) };
        let folder = folder_of(&path).to_owned();
        let json = read_json(source, &path)?;
        let workspace = workspace_of(source, &folder);
        let (top, top_json) = workspace.unwrap_or_else(|| (folder.clone(), json.clone()));
        let both = [&json, &top_json];
        let lock = LOCKS.into_iter().find(|name| source.has(&below(&top, name)));
        let locked = lock.and_then(|name| source.text(&below(&top, name)).ok().flatten());
        let locked: Value = serde_json::from_str(&locked.unwrap_or_default()).unwrap_or_default();
        let has_any = both.iter().any(|json| dependencies(json).next().is_some());
        Ok(Some(Self {
            wanted: wanted(source, work, said, &[(&path, &json), (&below(&top, "package.json"), &top_json)])?,
            installer: lock.map(Installer::Locked).or(has_any.then_some(Installer::Unlocked)),
            is_linked: !top_json["workspaces"].is_null()
                || both.iter().any(|json| dependencies(json).any(|(_, version)| is_link(version)))
                || packages(&locked).any(|(_, package)| package["link"] == true),
            has_start: json["scripts"]["start"].is_string() || source.has(&below(&folder, "server.js")),
            has_build: json["scripts"]["build"].is_string(),
            scripts: install_scripts(&json),
            programs: programs(&both, &locked),
            foreign_lock: foreign_lock(source, &top).filter(|_| lock.is_none() && has_any),
            folder,
            top,
        }))
    }

    /// The folder in which npm installs where it is started in one; none where no `package.json` is there or above.
    pub(crate) fn top_of(source: &Source, folder: &str) -> Option<String> {
        let path = source.nearest(folder, "package.json")?;
        let folder = folder_of(&path);
        Some(workspace_of(source, folder).map_or_else(|| folder.to_owned(), |(top, _)| top))
    }

    /// A lock file of another program's that would be passed over.
    ///
    /// # Errors
    /// There is one.
    pub(crate) fn refuse_foreign_lock(&self) -> Result<(), Error> {
        match &self.foreign_lock {
            Some(path) => Err(Error::ForeignNodeLock { path: path.clone() }),
            None => Ok(()),
        }
    }
}

/// The top of the workspace that the package of a folder is part of, as npm looks for it, and its `package.json`.
fn workspace_of(source: &Source, folder: &str) -> Option<(String, Value)> {
    folders_up(folder).skip(1).find_map(|top| {
        // One that cannot be read is none of this package's.
        let json = read_json(source, &below(top, "package.json")).ok()?;
        let named = &json["workspaces"];
        let globs = named.as_array().or_else(|| named["packages"].as_array())?;
        let path = folder.strip_prefix(top)?.trim_start_matches('/');
        let is_in = |glob: &str| {
            let glob = glob.trim_start_matches("./").trim_end_matches('/');
            let glob = GlobBuilder::new(glob).literal_separator(true).build();
            glob.is_ok_and(|glob| glob.compile_matcher().is_match(path))
        };
        // The last that fits decides.
        let mut globs = globs.iter().filter_map(Value::as_str).rev();
        let decides = globs.find(|glob| is_in(glob.trim_start_matches('!')))?;
        (!decides.starts_with('!')).then(|| (top.to_owned(), json))
    })
}

/// Beside the package, or where its workspace of pnpm's begins.
fn foreign_lock(source: &Source, top: &str) -> Option<String> {
    let here = FOREIGN_LOCKS.into_iter().map(|name| below(top, name));
    let of_pnpm = folders_up(top).filter(|folder| source.has(&below(folder, "pnpm-workspace.yaml")));
    let of_pnpm = of_pnpm.map(|folder| below(folder, "pnpm-lock.yaml"));
    here.chain(of_pnpm).find(|path| source.has(path))
}

/// Names and versions, as they are written.
fn dependencies(json: &Value) -> impl Iterator<Item = (&str, &str)> {
    let kinds = KINDS.into_iter().filter_map(|kind| json[kind].as_object());
    kinds.flatten().map(|(name, version)| (name.as_str(), version.as_str().unwrap_or_default()))
}

/// A folder is linked; an archive is unpacked.
fn is_link(version: &str) -> bool {
    let path = ["file:", "link:", "portal:", "./", "../"].iter().any(|start| version.starts_with(start));
    path && ![".tgz", ".tar.gz", ".tar"].iter().any(|end| version.ends_with(end))
}

/// What a lock of npm's says of packages, by their folders.
fn packages(locked: &Value) -> impl Iterator<Item = (&str, &Value)> {
    locked["packages"].as_object().into_iter().flatten().map(|(path, package)| (path.as_str(), package))
}

/// By the lock, which has what each package says; else by its name, which is as a rule that of its program.
fn programs(manifests: &[&Value], locked: &Value) -> BTreeSet<String> {
    let plain = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let named = manifests.iter().flat_map(|json| dependencies(json)).map(|(name, _)| name);
    let mut programs: BTreeSet<String> =
        named.filter(|name| !name.starts_with('@')).map(str::to_owned).collect();
    for (path, package) in packages(locked) {
        let Some(name) = path.strip_prefix("node_modules/").filter(|name| !name.contains("node_modules"))
        else {
            continue;
        };
        programs.extend(package["bin"].as_str().map(|_| plain(name)));
        programs.extend(package["bin"].as_object().into_iter().flat_map(|all| all.keys().cloned()));
    }
    programs
}

/// Hooks of git's are of no use to a build, and husky's `prepare` is in every second package.
fn install_scripts(json: &Value) -> Vec<String> {
    let is_there = |name: &&str| {
        let script = json["scripts"][*name].as_str();
        script.is_some_and(|script| !script.contains("husky") && !script.contains("lefthook"))
    };
    INSTALL_SCRIPTS.into_iter().filter(is_there).map(str::to_owned).collect()
}

fn read_json(source: &Source, path: &str) -> Result<Value, Error> {
    let text = source.text(path)?.unwrap_or_default();
    serde_json::from_str(&text)
        .map_err(|error| Error::Malformed { path: path.to_owned(), reason: error.to_string() })
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn wanted(
    source: &Source,
    work: &str,
    said: Option<&str>,
    manifests: &[(&String, &Value)],
) -> Result<Wanted, Error> {
    let of = |text: &str, said_by: &str| Wanted { text: text.trim().to_owned(), said_by: said_by.to_owned() };
    if said.is_some() {
        return Ok(Wanted::said(said));
    }
    for name in [".node-version", ".nvmrc"] {
        let Some(path) = source.nearest(work, name) else { continue };
        let text = source.text(&path)?.unwrap_or_default();
        let mut lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        if let Some(line) = lines.find(|line| !line.is_empty()) {
            return Ok(of(line, &path));
        }
    }
    let mut said = manifests.iter().filter_map(|(path, json)| {
        if let Some(engines) = json["engines"]["node"].as_str() {
            return Some(of(engines, &format!("`engines` of {path}")));
        }
        let runtime = &json["devEngines"]["runtime"];
        let runtimes = runtime.as_array().map_or(std::slice::from_ref(runtime), Vec::as_slice);
        let node = runtimes.iter().find(|runtime| runtime["name"] == "node")?;
        Some(of(node["version"].as_str()?, &format!("`devEngines` of {path}")))
    });
    Ok(said.next().unwrap_or_default())
}
