//! What builds need of the machine, for whoever asks before the first of them fails.

use std::path::{Path, PathBuf};

use tandem_sandbox::tool::Tool;
use tandem_types::Span;

use crate::{node, python, tools};

/// Starting an interpreter takes 50 ms, on a machine that swaps some seconds.
const ASK_TIME: Span = Span::seconds(20);
/// Says of each of these whether it is there, one a line.
const ASK: &str = "import importlib.util as u, os, sysconfig\n\
    print(u.find_spec('ensurepip') is not None and u.find_spec('venv') is not None)\n\
    print(os.path.isfile(os.path.join(sysconfig.get_path('include'), 'Python.h')))";

/// The Python of this machine that apps get where they ask for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonHere {
    /// Where it is.
    pub path: PathBuf,
    /// Whether virtual environments can be made with it, by which uv is installed.
    pub has_venv: bool,
    /// Whether what is written in C can be compiled for it.
    pub has_headers: bool,
}

/// Looks for it as a build does, and asks it what it has.
///
/// # Errors
/// There is none that apps could use, or it does not run.
pub async fn python() -> Result<PythonHere, crate::Error> {
    let path = python::any_of_machine()?;
    let said = ask(&path).await;
    let mut lines = said.lines().map(|line| line.trim() == "True");
    let mut next = || lines.next().unwrap_or(false);
    Ok(PythonHere { has_venv: next(), has_headers: next(), path })
}

/// Nothing where it does not answer: then it has none of it.
async fn ask(python: &Path) -> String {
    let asked = Tool::new(python).args(["-I", "-c", ASK]).run_ok(ASK_TIME).await;
    asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// The Node of this machine that apps get where they ask for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHere {
    /// Where it is on the host.
    pub path: PathBuf,
    /// `20.19.2`.
    pub version: String,
    /// Whether npm is beside it, with which packages are installed.
    pub has_npm: bool,
}

/// Looks for it as a build does; none where apps could use none. The data folder may not be there yet, and is not made.
pub async fn node(data_folder: &Path) -> Option<NodeHere> {
    let found = node::find(&node::Wanted::default(), &data_folder.join("tools").join("node")).await.ok()?;
    let has_npm = found.has_npm();
    Some(NodeHere { path: found.host, version: found.version, has_npm })
}

/// Where uv is, for a data folder that may not be there yet, and is not made.
#[must_use]
pub fn uv(data_folder: &Path) -> Option<PathBuf> {
    tools::find_uv_beside(&data_folder.join("tools"))
}
