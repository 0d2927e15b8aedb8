//! Programs that builds and apps need.

use std::path::{Path, PathBuf};

use tandem_build::needs::{self, PythonHere};
use tandem_kit::env;
use tandem_kit::error::chain;

use super::Finding;
use crate::session::Session;

/// Looked through besides `PATH`, which is short for services.
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
        program("node", "apps with a package.json cannot be built", "nodejs"),
        program("npm", "apps with a package-lock.json cannot be built", "npm"),
    ]);
    all
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
    match find(name) {
        Some(path) => Finding::good(name, path.display().to_string()),
        None => Finding::note(name, "it is missing").costs(costs).line(format!("apt-get install {package}")),
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(env::PATH).unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(FOLDERS.iter().map(|folder| Path::new(folder).to_owned()));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
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
    fn without_python_and_its_virtual_environments_nothing_of_python_is_built() {
        let missing = Err("find Python: there is none".to_owned());
        assert_eq!(interpreter(&missing).state, State::Lacking);
        assert_eq!(headers(&missing), None);
        let bare = PythonHere { path: "/usr/bin/python3".into(), has_venv: false, has_headers: false };
        assert!(headers(&Ok(bare)).is_some_and(|finding| finding.line == "apt-get install python3-dev"));
    }
}
