//! The static part: what Django's `collectstatic` collects, kept until something that it looked at changes.
//!
//! `collectstatic` costs a start of Django, so it runs under a small wrapper that reports every file it opened, folder it
//! listed and path it asked about. The next build compares these with its own source; if all are the same, and
//! the dependencies and the interpreter too, the part is the one of before. Not seen is what a library reads in C without
//! Python's knowledge, and what a child process reads; runs with child processes are never taken again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tandem_blobs::{BlobStore, TreeSummary, export, ingest, ingest_folder};
use tandem_sandbox::Network;
use tandem_types::Digest;

use crate::commands::Surroundings;
use crate::data::Places;
use crate::error::io_error;
use crate::recipe::{APP, VENV};
use crate::source::Source;
use crate::workshop::{Call, Workshop, real_folder};
use crate::{Error, Events, kept, survey};

pub(crate) mod folders;
mod trace;

use trace::Trace;

const COLLECT: &[u8] = include_bytes!("static_files/collect.py");
const VERSION: u32 = 1;
const WHAT: &str = "collectstatic";
/// Folders below the top that static files are collected into where the settings name none; the first that is free.
const OWN_ROOTS: [&str; 2] = ["staticfiles", "tandem-staticfiles"];

/// What came of collecting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Collected {
    /// Static files below `/app/<folder>`.
    Files {
        /// Root of the collected files.
        tree: Digest,
        files: u64,
        bytes: u64,
        /// `STATIC_ROOT` below `/app`, or a folder of ours where the settings have none.
        folder: String,
        /// `STATIC_URL` as a prefix with slashes at both ends; none where it is another site.
        prefix: Option<String>,
        /// Whether `DEBUG` is on in a build, and so in an app without config.
        debug: bool,
        /// Folders that the settings name, the source does not have, and an app expects.
        #[serde(default)]
        missing: Vec<String>,
        /// What the settings place in the source.
        #[serde(default)]
        places: Places,
    },
    /// The app has none.
    None {
        /// For people, where it may not be what they want.
        warning: Option<String>,
        /// As of [`Collected::Files`].
        #[serde(default)]
        debug: bool,
        /// What the settings place in the source.
        #[serde(default)]
        places: Places,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    before: Option<Before>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Before {
    /// Dependencies, interpreter, wrapper.
    surroundings: String,
    /// What was looked at, each with what it was.
    inputs: BTreeMap<String, String>,
    collected: Collected,
}

/// What collecting works with.
pub(crate) struct Inputs<'a> {
    pub(crate) store: &'a BlobStore,
    /// The source without bytecode.
    pub(crate) source: &'a Source,
    /// Digest of the installed dependencies.
    pub(crate) dependencies: Digest,
    /// The interpreter as builds record it.
    pub(crate) python: String,
    /// Packages of Node's, which `STATICFILES_DIRS` may name.
    pub(crate) modules: Option<Digest>,
    /// Environment of the app's processes.
    pub(crate) environment: &'a BTreeMap<String, String>,
}

impl Inputs<'_> {
    fn surroundings(&self) -> String {
        let wrapper = tandem_blobs::tree::digest_of(COLLECT);
        let environment = serde_json::to_string(self.environment).expect("text is always JSON");
        let modules = self.modules.map(|modules| format!("{modules} ")).unwrap_or_default();
        format!("{} {} {modules}{wrapper} {environment}", self.dependencies, self.python)
    }
}

/// What was collected before, if collecting again would give the same.
pub(crate) fn find(shop: &Workshop, inputs: &Inputs<'_>) -> Result<Option<Collected>, Error> {
    let known: Known = kept::read(&known_path(shop), VERSION);
    let Some(before) = known.before.filter(|before| before.surroundings == inputs.surroundings()) else {
        return Ok(None);
    };
    if !before.inputs.iter().all(|(question, answer)| trace::answer(inputs.source, question) == *answer) {
        return Ok(None);
    }
    let is_whole = match &before.collected {
        Collected::Files { tree, .. } => inputs.store.is_complete(tree)?,
        Collected::None { .. } => true,
    };
    Ok(is_whole.then_some(before.collected))
}

/// The root that is remembered: a sweep of blobs keeps it.
pub(crate) fn roots(build_folder: &std::path::Path) -> Vec<Digest> {
    let known: Known = kept::read(&build_folder.join("static.json"), VERSION);
    match known.before.map(|before| before.collected) {
        Some(Collected::Files { tree, .. }) => vec![tree],
        _ => Vec::new(),
    }
}

/// Collects in the app that was laid out (source and bytecode), without network and without config values; `manage` is
/// the path of `manage.py` from the working folder.
///
/// Django before 4.0 fails where `STATICFILES_DIRS` names a folder that is not there: those are made, and it is tried once
/// more. Returns those.
pub(crate) async fn run(
    shop: &Workshop,
    around: &Surroundings,
    manage: &str,
    events: Events<'_>,
) -> Result<Vec<String>, Error> {
    shop.put_tool("collect.py", COLLECT)?;
    let lines = match try_to_run(shop, around, manage, events).await? {
        Ok(()) => return Ok(Vec::new()),
        Err(lines) => lines,
    };
    let is_missing = lines.iter().any(|line| line.contains("FileNotFoundError"));
    let missing = if is_missing { report(shop)?.missing } else { Vec::new() };
    let mut made = Vec::new();
    for folder in missing {
        if make_folder(shop, &folder)? {
            made.push(folder);
        }
    }
    if made.is_empty() {
        return Err(Error::Static { lines });
    }
    let again = try_to_run(shop, around, manage, events).await?;
    again.map(|()| made).map_err(|lines| Error::Static { lines })
}

/// Its last lines where it fails.
async fn try_to_run(
    shop: &Workshop,
    around: &Surroundings,
    manage: &str,
    events: Events<'_>,
) -> Result<Result<(), Vec<String>>, Error> {
    let mut environment = around.environment();
    environment.insert("PYTHON".to_owned(), format!("{VENV}/bin/python"));
    environment.insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
    environment.insert("MANAGE".to_owned(), manage.to_owned());
    environment.insert("TANDEM_BUILD_ROOT".to_owned(), APP.to_owned());
    let is_free = |name: &&str| shop.work("app").join(name).symlink_metadata().is_err();
    if let Some(name) = OWN_ROOTS.iter().copied().find(|name| is_free(name)) {
        environment.insert("TANDEM_STATIC_ROOT".to_owned(), name.to_owned());
    }
    let call = Call {
        what: WHAT,
        command: around.in_work("\"$PYTHON\" \"$TOOLS/collect.py\" \"$TOOLS/report.json\" \"$MANAGE\""),
        cwd: APP,
        environment,
        mounts: around.mounts(shop),
        network: Network::None,
        is_shown: true,
    };
    let outcome = shop.run(call, events).await?;
    Ok(if outcome.succeeded() { Ok(()) } else { Err(outcome.last_lines) })
}

/// Makes a folder of the app that was laid out; not through a link that a command left.
fn make_folder(shop: &Workshop, folder: &str) -> Result<bool, Error> {
    let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
    if folder.split('/').any(|part| part == "..") {
        return Ok(false);
    }
    if !parent.is_empty() && real_folder(&shop.work("app"), parent).is_none() && !make_folder(shop, parent)? {
        return Ok(false);
    }
    let Some(parent) = real_folder(&shop.work("app"), parent) else { return Ok(false) };
    let path = parent.join(folder.rsplit('/').next().unwrap_or(folder));
    if std::fs::symlink_metadata(&path).is_ok() {
        return Ok(false);
    }
    shop.owned_folder(&path)?;
    Ok(true)
}

fn report(shop: &Workshop) -> Result<Trace, Error> {
    let report = shop.read_report("report.json")?;
    serde_json::from_slice(&report).map_err(|error| Error::Unexpected {
        what: WHAT,
        reason: format!("its report cannot be read: {error}"),
        lines: Vec::new(),
    })
}

/// Keeps what was collected, and remembers what it depends on; `made` are folders that were made for it.
pub(crate) fn keep(shop: &Workshop, inputs: &Inputs<'_>, made: Vec<String>) -> Result<Collected, Error> {
    let mut report = report(shop)?;
    report.missing.extend(made);
    let collected = collect(shop, inputs, &report)?;
    let output = match &collected {
        Collected::Files { folder, .. } => Some(folder.as_str()),
        Collected::None { .. } => None,
    };
    let before = match &report.opaque {
        Some(why) => {
            tracing::info!("static files are collected at every build: the run did {why}");
            None
        }
        None => Some(Before {
            surroundings: inputs.surroundings(),
            inputs: report.inputs(inputs.source, output),
            collected: collected.clone(),
        }),
    };
    kept::write(&known_path(shop), VERSION, &Known { before });
    Ok(collected)
}

fn collect(shop: &Workshop, inputs: &Inputs<'_>, report: &Trace) -> Result<Collected, Error> {
    let places = report.places.clone().plain();
    let none = |warning: Option<&str>| Collected::None {
        warning: warning.map(str::to_owned),
        debug: report.debug,
        places: places.clone(),
    };
    match report.outcome.as_str() {
        "absent" => return Ok(none(None)),
        "no_root" => {
            return Ok(none(Some(
                "STATIC_ROOT is not set in the settings, so static files are not collected",
            )));
        }
        _ => {}
    }
    let folder =
        report.static_root.as_deref().filter(|folder| *folder != "." && inputs.source.is_plain(folder));
    let Some(folder) = folder else {
        return Ok(none(Some("STATIC_ROOT is not a folder below the app, so static files are not kept")));
    };
    let Some(path) = real_folder(&shop.work("app"), folder) else {
        return Ok(none(Some("there are no static files")));
    };
    survey::check(WHAT, &path)?;
    let TreeSummary { digest: tree, files, bytes, .. } =
        ingest_folder(&path, inputs.store, &ingest::Rules::default())?;
    let prefix = report.static_url.as_deref().and_then(url_prefix);
    let missing = report.missing.iter().filter(|folder| is_missing(inputs.source, folder)).cloned().collect();
    let (folder, debug) = (folder.to_owned(), report.debug);
    Ok(Collected::Files { tree, files, bytes, folder, prefix, debug, missing, places })
}

/// Puts what was collected into the app that was laid out, for commands that change it.
pub(crate) fn lay_out(shop: &Workshop, store: &BlobStore, collected: &Collected) -> Result<(), Error> {
    let Collected::Files { tree, folder, .. } = collected else { return Ok(()) };
    let aside = shop.work("collected");
    export::export(store, tree, &aside, export::Options { owner: shop.owner(), interpreter: None })?;
    let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
    let path = shop.folder_in_app("the source", parent)?.join(name);
    match std::fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_dir() => tandem_kit::files::remove_tree(&path),
        Ok(_) => std::fs::remove_file(&path),
        Err(_) => Ok(()),
    }
    .map_err(io_error("remove", &path))?;
    std::fs::rename(&aside, &path).map_err(io_error("put in place", &path))
}

/// Keeps what commands made of it.
pub(crate) fn keep_again(
    shop: &Workshop,
    store: &BlobStore,
    collected: Collected,
) -> Result<Collected, Error> {
    let Collected::Files { folder, prefix, debug, missing, places, .. } = collected else {
        return Ok(collected);
    };
    let Some(path) = real_folder(&shop.work("app"), &folder) else {
        return Ok(Collected::None {
            warning: Some("the build commands removed the static files".to_owned()),
            debug,
            places,
        });
    };
    survey::check("the build commands", &path)?;
    let TreeSummary { digest: tree, files, bytes, .. } =
        ingest_folder(&path, store, &ingest::Rules::default())?;
    Ok(Collected::Files { tree, files, bytes, folder, prefix, debug, missing, places })
}

/// A folder that can be put into the source: its report was written by code of the app.
fn is_missing(source: &Source, folder: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    folder.split('/').all(plain) && source.is_plain(folder) && !source.folders.contains(folder)
}

/// The path that a `STATIC_URL` stands for: `static/` → `/static/`. None for another site, and for the root, which
/// belongs to the app.
fn url_prefix(url: &str) -> Option<String> {
    if url.contains("://") || url.starts_with("//") {
        return None;
    }
    let path = url.trim_matches('/');
    (!path.is_empty()).then(|| format!("/{path}/"))
}

fn known_path(shop: &Workshop) -> std::path::PathBuf {
    shop.folder.join("static.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_url_becomes_a_prefix_with_slashes_at_both_ends() {
        for (url, prefix) in [
            ("/static/", Some("/static/")),
            ("static/", Some("/static/")),
            ("/a/b", Some("/a/b/")),
            ("https://cdn.example/static/", None),
            ("//cdn.example/", None),
            ("/", None),
        ] {
            assert_eq!(url_prefix(url).as_deref(), prefix, "{url}");
        }
    }
}
