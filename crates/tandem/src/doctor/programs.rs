//! Programs that builds and apps need.

use std::ffi::OsStr;
use std::path::Path;

use tandem_build::needs::{self, NodeHere, PythonHere};
use tandem_kit::env;
use tandem_kit::error::chain;

use super::Finding;
use crate::session::Session;

/// Where builds look: what `PATH` names besides may be a version manager's, which the sandbox does not show.
const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

pub(super) async fn look(session: &Session) -> Vec<Finding> {
    let python = needs::python().await.map_err(|error| chain(&error));
    let has_venv = python.as_ref().is_ok_and(|python| python.has_venv);
    let mut all = vec![interpreter(&python), uv(session, has_venv)];
    all.extend(headers(&python));
    all.push(compiler());
    all.extend([
        program("git", "sources cannot be taken from a git URL, and releases do not say their commit", "git"),
        program("ssh", "sources cannot be taken by git over SSH", "openssh-client"),
    ]);
    all.extend(node(needs::node(&session.data()).await));
    all
}

fn node(found: Option<NodeHere>) -> [Finding; 2] {
    let without = "apps with a package-lock.json cannot be built";
    let Some(node) = found else {
        return [
            missing("node", "apps with a package.json cannot be built", "nodejs"),
            missing("npm", without, "npm"),
        ];
    };
    let npm = match node.has_npm {
        true => Finding::good("npm", node.path.with_file_name("npm").display().to_string()),
        false => Finding::note("npm", format!("it is not beside {}", node.path.display()))
            .costs(without)
            .line("apt-get install npm"),
    };
    [Finding::good("node", format!("{} {}", node.path.display(), node.version)), npm]
}

fn interpreter(python: &Result<PythonHere, String>) -> Finding {
    const NAME: &str = "Python";
    match python {
        Ok(python) => Finding::good(NAME, python.path.display().to_string()),
        Err(error) => Finding::lacking(NAME, error.as_str())
            .costs("no Python app can be built; Node apps can")
            .line("apt-get install python3 python3-venv"),
    }
}

fn uv(session: &Session, has_venv: bool) -> Finding {
    const NAME: &str = "uv";
    let found = needs::uv(&session.data());
    match found {
        Some(path) => Finding::good(NAME, path.display().to_string()),
        None if has_venv => {
            Finding::good(NAME, "none yet: the first build installs it from the package index")
        }
        None => Finding::lacking(
            NAME,
            "it is missing, and Python cannot make the virtual environment to install it",
        )
        .costs("no dependencies of Python can be installed")
        .line("apt-get install python3-venv"),
    }
}

fn headers(python: &Result<PythonHere, String>) -> Option<Finding> {
    const NAME: &str = "Python headers";
    let python = python.as_ref().ok()?;
    Some(if python.has_headers {
        Finding::good(NAME, "Python.h is here")
    } else {
        Finding::note(NAME, "Python.h is missing")
            .costs("dependencies without a wheel for this machine do not build")
            .line("apt-get install python3-dev")
    })
}

fn compiler() -> Finding {
    program("cc", "dependencies without a wheel for this machine do not build", "build-essential")
}

/// A program that some apps do without.
fn program(name: &'static str, costs: &str, package: &str) -> Finding {
    let found = FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    match found {
        Some(path) => Finding::good(name, path.display().to_string()),
        None => missing(name, costs, package),
    }
}

fn missing(name: &'static str, costs: &str, package: &str) -> Finding {
    let path = std::env::var_os(env::PATH).unwrap_or_default();
    Finding::note(name, where_else(name, &path)).costs(costs).line(format!("apt-get install {package}"))
}

/// What the caller of a doctor that says "missing" would wonder about.
fn where_else(name: &str, path: &OsStr) -> String {
    let found = std::env::split_paths(path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.map_or_else(
        || "it is missing".to_owned(),
        |path| format!("there is {} alone, which builds and apps do not see", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_told_with_its_package() {
        let missing = program("no-such-program", "much", "such");
        assert_eq!((missing.state, missing.line.as_str()), (State::Note, "apt-get install such"));
        assert_eq!(program("sh", "much", "such").state, State::Good);
    }

    #[test]
    fn what_only_the_callers_path_has_is_nothing_to_a_build() {
        let folder = tempfile::tempdir().expect("there is room");
        let own = folder.path().join("made-up-program");
        std::fs::File::create(&own).expect("there is room");
        let says = where_else("made-up-program", folder.path().as_os_str());
        assert_eq!(says, format!("there is {} alone, which builds and apps do not see", own.display()));
        assert_eq!(where_else("another", folder.path().as_os_str()), "it is missing");
    }

    #[test]
    fn npm_is_looked_for_beside_the_node_that_builds_take() {
        let here = |has_npm| {
            let path = "/data/tools/node/v22/bin/node".into();
            node(Some(NodeHere { path, version: "22.1.0".to_owned(), has_npm })).map(|finding| finding.state)
        };
        assert_eq!((here(true), here(false)), ([State::Good, State::Good], [State::Good, State::Note]));
        assert_eq!(node(None).map(|finding| finding.state), [State::Note, State::Note]);
    }

    #[test]
    fn without_python_and_its_virtual_environments_nothing_of_python_is_built() {
        let missing = Err("find Python: there is none".to_owned());
        assert_eq!(interpreter(&missing).state, State::Lacking);
        assert_eq!(headers(&missing), None);
        let bare = PythonHere { path: "/usr/bin/python3".into(), has_venv: false, has_headers: false };
        assert!(headers(&Ok(bare)).is_some_and(|finding| finding.line == "apt-get install python3-dev"));
    }
}
