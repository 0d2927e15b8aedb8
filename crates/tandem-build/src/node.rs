//! The Node that apps and their builds use: a real file that instances can see, never what a version manager put into
//! somebody's home.
//!
//! Wanted is a range of npm's (`>=20.9`, `^18 || 20.x`), said by `tandem.toml`, a version file or `package.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nodejs_semver::{Range, Version};
use tandem_kit::paths::NODES;
use tandem_sandbox::tool::Tool;
use tandem_types::Span;

use crate::Error;
use crate::python::is_elf;

mod calls;
pub(crate) mod modules;
mod package;
#[cfg(test)]
mod tests;

pub(crate) use calls::{Call, calls, installs, is_plain_install, uses_node};
pub(crate) use package::{Installer, Package};

/// Where it is looked for first, as Debian and Node's own packages have it.
const PATHS: [&str; 2] = ["/usr/bin/node", "/usr/local/bin/node"];
/// Names of Node's long-term lines, as version files write them: `lts/iron`.
const LINES: [(&str, u64); 5] =
    [("gallium", 16), ("hydrogen", 18), ("iron", 20), ("jod", 22), ("krypton", 24)];

/// The version of Node that a source asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// As it was written; empty: any.
    pub(crate) text: String,
    /// Which file asks.
    pub(crate) said_by: String,
}

/// A Node and what identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Path of the executable, as builds and instances see it.
    pub(crate) path: PathBuf,
    /// `20.19.2`.
    pub(crate) version: String,
    /// Path of the same file on the host.
    pub(crate) host: PathBuf,
}

impl Node {
    /// `Node 20.19.2 /usr/bin/node`, as builds record it.
    pub(crate) fn recorded(&self) -> String {
        format!("Node {} {}", self.version, self.path.display())
    }

    /// Its folder, for `PATH`.
    pub(crate) fn folder(&self) -> String {
        self.path.parent().map(|folder| folder.display().to_string()).unwrap_or_default()
    }

    /// What npm is told in builds. Node's headers beside it are used where a package is compiled: else they are fetched.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let quiet = [("NPM_CONFIG_UPDATE_NOTIFIER", "false"), ("NPM_CONFIG_PROGRESS", "false")];
        let quiet = quiet.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut environment = BTreeMap::from(quiet);
        let prefix = |path: &Path| path.parent().and_then(Path::parent).map(Path::to_owned);
        if let Some((host, inside)) = prefix(&self.host).zip(prefix(&self.path))
            && host.join("include/node/common.gypi").exists()
        {
            // npm hands the one to node-gyp up to version 10, and complains about it from then on.
            let package = fs::read(host.join("lib/node_modules/npm/package.json")).unwrap_or_default();
            let package: serde_json::Value = serde_json::from_slice(&package).unwrap_or_default();
            let npm = package["version"].as_str().and_then(|version| Version::parse(version).ok());
            let name = match npm {
                Some(version) if version.major() >= 11 => "npm_package_config_node_gyp_nodedir",
                _ => "npm_config_nodedir",
            };
            environment.insert(name.to_owned(), inside.display().to_string());
        }
        environment
    }

    /// Whether npm is beside it.
    pub(crate) fn has_npm(&self) -> bool {
        self.host.with_file_name("npm").exists()
    }
}

/// Finds the Node for what is wanted; `tools` is Tandem's own folder of them.
///
/// # Errors
/// None that is here fits.
pub(crate) async fn find(wanted: &Wanted, tools: &Path) -> Result<Node, Error> {
    let mut there = Vec::new();
    for (path, host) in candidates(tools) {
        if let Some(version) = version_of(&host).await {
            there.push(Node { path, version, host });
        }
    }
    let range = wanted.range()?;
    choose(&range, &there).ok_or_else(|| Error::NodeMissing {
        wanted: wanted.text.clone(),
        said_by: wanted.said_by.clone(),
        found: there.iter().map(Node::recorded).collect(),
        tools: tools.display().to_string(),
    })
}

impl Wanted {
    /// What `tandem.toml` names; any where it names none.
    pub(crate) fn said(node: Option<&str>) -> Self {
        let of =
            |text: &str| Self { text: text.to_owned(), said_by: "[build] node in tandem.toml".to_owned() };
        node.map(of).unwrap_or_default()
    }

    /// As npm understands it. A whole version means it or a later one of its line: a machine rarely has that very one.
    fn range(&self) -> Result<Range, Error> {
        let text = self.text.trim().trim_start_matches('v');
        let lower = text.to_lowercase();
        let line = lower.strip_prefix("lts/").and_then(|name| LINES.iter().find(|(known, _)| *known == name));
        let text = match (lower.as_str(), line) {
            (_, Some((_, major))) => major.to_string(),
            ("" | "node" | "stable" | "latest" | "current" | "lts" | "lts/*", _) => "*".to_owned(),
            _ if Version::parse(text).is_ok() => format!("^{text}"),
            _ => text.to_owned(),
        };
        Range::parse(&text).map_err(|_| Error::Malformed {
            path: self.said_by.clone(),
            reason: format!("{:?} is no version of Node that npm understands", self.text),
        })
    }
}

/// The machine's own where it fits, else the latest that does.
fn choose(range: &Range, there: &[Node]) -> Option<Node> {
    let version = |node: &Node| Version::parse(&node.version).ok();
    let fits = |node: &&Node| version(node).is_some_and(|version| range.satisfies(&version));
    let own = there.iter().filter(fits).find(|node| PATHS.iter().any(|path| node.path == Path::new(path)));
    own.or_else(|| there.iter().filter(fits).max_by_key(|node| version(node))).cloned()
}

/// Paths as instances see them, each with that on the host.
fn candidates(tools: &Path) -> Vec<(PathBuf, PathBuf)> {
    let own = PATHS.iter().map(|path| (PathBuf::from(path), PathBuf::from(path)));
    let names = fs::read_dir(tools).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let more =
        names.map(|name| (Path::new(NODES).join(&name).join("bin/node"), tools.join(&name).join("bin/node")));
    own.chain(more).filter(|(_, host)| is_program(host, tools)).collect()
}

/// A link must not lead to where instances cannot see.
fn is_program(path: &Path, tools: &Path) -> bool {
    let real = fs::canonicalize(path);
    real.is_ok_and(|real| (real.starts_with("/usr") || real.starts_with(tools)) && is_elf(&real))
}

/// What `node --version` says: `v20.19.2`. None where it does not run.
async fn version_of(path: &Path) -> Option<String> {
    let output = Tool::new(path).arg("--version").run_ok(Span::seconds(30)).await;
    let output = output.inspect_err(|error| tracing::warn!(%error, "a Node cannot be used")).ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().strip_prefix('v').map(str::to_owned)
}
