//! Locks and lists of other tools, which are not read: better told than ignored.

use super::project::Project;
use super::{Declared, Requirements};
use crate::Error;
use crate::source::{Source, below, folders_up};

/// Another tool's file.
struct Foreign {
    name: &'static str,
    /// What makes one of it that is read.
    hint: &'static str,
    is_lock: bool,
}

const PIPENV: &str = "type `pipenv requirements > requirements.txt`, or move to uv: `uvx migrate-to-uv`";
const POETRY: &str = "move to uv, which reads that and writes a lock: `uvx migrate-to-uv`; or type `poetry lock` and \
                      `poetry export -f requirements.txt -o requirements.txt` (of the plugin poetry-plugin-export)";
const FOREIGN: [Foreign; 5] = [
    Foreign {
        name: "poetry.lock",
        hint: "type `poetry export -f requirements.txt -o requirements.txt` (of the plugin poetry-plugin-export), or move \
               to uv: `uvx migrate-to-uv`",
        is_lock: true,
    },
    Foreign {
        name: "pdm.lock",
        hint: "type `pdm export -o requirements.txt`, or move to uv: `uvx migrate-to-uv`",
        is_lock: true,
    },
    Foreign { name: "Pipfile.lock", hint: PIPENV, is_lock: true },
    Foreign { name: "Pipfile", hint: PIPENV, is_lock: false },
    Foreign {
        name: "environment.yml",
        hint: "write the packages into requirements.txt, or move to uv: `uv init --bare` and `uv add`",
        is_lock: false,
    },
];

/// Where nothing else says what is needed.
pub(super) fn refuse(source: &Source, folder: &str) -> Result<(), Error> {
    match FOREIGN.iter().find(|foreign| source.has(&below(folder, foreign.name))) {
        Some(Foreign { name, hint, .. }) => Err(Error::Unsupported { found: name, hint }),
        None if Project::read(source, folder)?.is_some_and(|project| project.is_poetrys()) => {
            Err(Error::Unsupported { found: "[tool.poetry.dependencies] in pyproject.toml", hint: POETRY })
        }
        None => Ok(()),
    }
}

/// Says of a lock beside what is installed, or nearer to the working folder, that it does not count. Where what is installed
/// names each version, people have done what would be asked of them: then it is no more than a note.
pub(super) fn tell(source: &Source, work: &str, found: &mut Requirements) {
    let folders = folders_up(work).take_while(|folder| folder.len() >= found.folder.len());
    let mut locks = folders.flat_map(|folder| {
        let is_here = |foreign: &&Foreign| foreign.is_lock && source.has(&below(folder, foreign.name));
        FOREIGN.iter().filter(is_here).map(move |foreign| (below(folder, foreign.name), foreign.hint))
    });
    let Some((lock, hint)) = locks.next() else { return };
    let not_read =
        format!("{lock} is not read: what {} says is installed", below(&found.folder, &found.file));
    if found.declared == Declared::Lock || found.unpinned.is_empty() {
        found.notes.push(not_read);
        return;
    }
    let or = match found.declared {
        Declared::Project => "; or let this project have a lock that is read: `uv lock`",
        _ => "",
    };
    let warning =
        format!("{not_read}, in versions that may be other ones. To have those of {lock}, {hint}{or}");
    found.warnings.push(warning);
}
