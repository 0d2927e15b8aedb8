//! `package.json` and what lies beside it, as far as a build needs to know.

use serde_json::Value;

use super::Wanted;
use crate::Error;
use crate::source::{Source, below};

/// Programs of Node's that a command may begin with.
const PROGRAMS: [&str; 8] = ["corepack", "node", "npm", "npx", "pnpm", "tsx", "yarn", "ts-node"];
/// Commands that make `node_modules` themselves.
const INSTALLING: [&str; 8] = [
    "npm ci",
    "npm i ",
    "npm install",
    "npm clean-install",
    "yarn install",
    "yarn --",
    "pnpm i",
    "corepack yarn",
];

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
    /// Version of Node.
    pub(crate) wanted: Wanted,
    /// How `node_modules` are made; none where there is nothing to install.
    pub(crate) installer: Option<Installer>,
    /// Whether packages of the repository itself are linked into `node_modules`, which then cannot be kept apart from it.
    pub(crate) has_workspaces: bool,
    /// Whether there is a `start` script, or the file that `npm start` runs without one.
    pub(crate) has_start: bool,
    /// Whether there is a `build` script.
    pub(crate) has_build: bool,
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
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let text = source.text(&path)?.unwrap_or_default();
        let json: Value = serde_json::from_str(&text)
            .map_err(|error| Error::Malformed { path: path.clone(), reason: error.to_string() })?;
        let here = |name: &str| source.has(&below(&folder, name));
        let lock = ["package-lock.json", "npm-shrinkwrap.json"].into_iter().find(|name| here(name));
        let foreign =
            ["yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"].into_iter().find(|name| here(name));
        let kinds = ["dependencies", "devDependencies", "optionalDependencies"];
        let has_any = kinds.iter().any(|kind| json[kind].as_object().is_some_and(|all| !all.is_empty()));
        let installer = lock.map(Installer::Locked).or((has_any).then_some(Installer::Unlocked));
        Ok(Some(Self {
            wanted: wanted(source, work, said, (&path, &json))?,
            installer,
            has_workspaces: !json["workspaces"].is_null(),
            has_start: json["scripts"]["start"].is_string() || here("server.js"),
            has_build: json["scripts"]["build"].is_string(),
            foreign_lock: foreign.filter(|_| lock.is_none() && has_any).map(|name| below(&folder, name)),
            folder,
        }))
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

/// Whether a command starts a program of Node's, anywhere in it.
pub(crate) fn uses_node(command: &str) -> bool {
    let words = command.split(|c: char| c.is_whitespace() || ";&|()'\"`".contains(c));
    words.filter_map(|word| word.rsplit('/').next()).any(|word| PROGRAMS.contains(&word))
}

/// Whether a command installs packages of Node's by itself.
pub(crate) fn installs(command: &str) -> bool {
    let command = format!("{} ", command.split_whitespace().collect::<Vec<_>>().join(" "));
    INSTALLING.iter().any(|call| command.contains(call))
        || ["yarn ", "pnpm install "].contains(&command.as_str())
}

/// `npm ci` and nothing else: what a build does by itself, and keeps.
pub(crate) fn is_plain_install(command: &str) -> bool {
    matches!(
        command.split_whitespace().collect::<Vec<_>>()[..],
        ["npm", "ci" | "install" | "i" | "clean-install"]
    )
}

fn wanted(
    source: &Source,
    work: &str,
    said: Option<&str>,
    (path, json): (&str, &Value),
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
    if let Some(engines) = json["engines"]["node"].as_str() {
        return Ok(of(engines, &format!("`engines` of {path}")));
    }
    let runtime = &json["devEngines"]["runtime"];
    let runtimes = runtime.as_array().map_or(std::slice::from_ref(runtime), Vec::as_slice);
    let node = runtimes.iter().find(|runtime| runtime["name"] == "node");
    let version = node.and_then(|node| node["version"].as_str());
    Ok(version.map_or_else(Wanted::default, |version| of(version, &format!("`devEngines` of {path}"))))
}
