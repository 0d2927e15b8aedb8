//! The static part: what Django's `collectstatic` collects, kept until something that it looked at changes.
//!
//! `collectstatic` costs a start of Django, so it runs under a small wrapper that reports every file it opened, folder it
//! listed and path it asked about. The next build compares these with its own source; if all are the same, and
//! the dependencies and the interpreter too, the part is the one of before. Not seen is what a library reads in C without
//! Python's knowledge, and what a child process reads; runs with child processes are never taken again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tandem_blobs::{BlobStore, TreeSummary, ingest, ingest_folder};
use tandem_sandbox::{Mount, Network};
use tandem_types::Digest;

use crate::recipe::{APP, VENV};
use crate::source::Source;
use crate::workshop::{Call, Workshop, real_folder};
use crate::{Error, Events, kept, survey};

mod trace;

use trace::Trace;

const COLLECT: &[u8] = include_bytes!("static_files/collect.py");
const VERSION: u32 = 1;
const WHAT: &str = "collectstatic";

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
        /// `STATIC_ROOT` below `/app`.
        folder: String,
        /// `STATIC_URL` as a prefix with slashes at both ends; none where it is another site.
        prefix: Option<String>,
        /// Whether `DEBUG` is on in a build, and so in an app without config.
        debug: bool,
    },
    /// The app has none.
    None {
        /// For people, where it may not be what they want.
        warning: Option<String>,
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
    /// Environment of the app's processes.
    pub(crate) environment: &'a BTreeMap<String, String>,
}

impl Inputs<'_> {
    fn surroundings(&self) -> String {
        let wrapper = tandem_blobs::tree::digest_of(COLLECT);
        let environment = serde_json::to_string(self.environment).expect("text is always JSON");
        format!("{} {} {wrapper} {environment}", self.dependencies, self.python)
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

/// Collects in the app that was laid out (source and bytecode), without network and without config values.
pub(crate) async fn run(
    shop: &Workshop,
    venv: &std::path::Path,
    environment: &BTreeMap<String, String>,
    events: Events<'_>,
) -> Result<(), Error> {
    shop.put_tool("collect.py", COLLECT)?;
    let mut environment = environment.clone();
    environment.insert("PYTHON".to_owned(), format!("{VENV}/bin/python"));
    environment.insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
    environment.insert("PATH".to_owned(), format!("{VENV}/bin:/usr/local/bin:/usr/bin:/bin"));
    let mut mounts = shop.mounts();
    mounts.push(Mount::read_only(venv, VENV));
    let call = Call {
        what: WHAT,
        command: "\"$PYTHON\" \"$TOOLS/collect.py\" \"$TOOLS/report.json\"".to_owned(),
        cwd: APP,
        environment,
        mounts,
        network: Network::None,
        is_shown: true,
    };
    let outcome = shop.run(call, events).await?;
    if outcome.succeeded() { Ok(()) } else { Err(Error::Static { lines: outcome.last_lines }) }
}

/// Keeps what was collected, and remembers what it depends on.
pub(crate) fn keep(shop: &Workshop, inputs: &Inputs<'_>) -> Result<Collected, Error> {
    let report = shop.read_report("report.json")?;
    let report: Trace = serde_json::from_slice(&report).map_err(|error| Error::Unexpected {
        what: WHAT,
        reason: format!("its report cannot be read: {error}"),
        lines: Vec::new(),
    })?;
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
    let none = |warning: Option<&str>| Collected::None { warning: warning.map(str::to_owned) };
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
    Ok(Collected::Files { tree, files, bytes, folder: folder.to_owned(), prefix, debug: report.debug })
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
