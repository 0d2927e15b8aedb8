//! Where in a source the app is: the folder whose `tandem.toml` counts, and the one in which commands start.

use crate::Error;
use crate::django;
use crate::source::{Found, Source, below};
use tandem_app_file::{APP_FILE, AppFile, PROCFILE};

/// How deep a `manage.py` is looked for: `site/manage.py`, `src/site/manage.py`.
const DEPTH: usize = 2;
/// Files beside which an app may lie that says nothing of itself.
const SIGNS: [&str; 3] = ["package.json", "pyproject.toml", "requirements.txt"];
/// Folders that an error names.
const MOST_NAMED: usize = 5;

/// The folders of an app, below the top of the source; the top is the empty path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Folders {
    /// Where `tandem.toml` is read: the one that was asked for, else the top. What it names is relative to it.
    pub(crate) file: String,
    /// Where commands start.
    pub(crate) work: String,
    /// What was taken for granted.
    pub(crate) note: Option<String>,
}

/// The folder that somebody asked for by `--root`.
///
/// # Errors
/// There is no such folder.
pub(super) fn asked(source: &Source, root: Option<&str>) -> Result<String, Error> {
    let Some(root) = root.map(|root| root.trim_matches('/')).filter(|root| !matches!(*root, "" | ".")) else {
        return Ok(String::new());
    };
    existing(source, root, "--root")
}

impl Folders {
    /// Decides, once the app file of the folder that was asked for is read.
    ///
    /// # Errors
    /// A folder is named that the source does not have, or there are several apps and nobody said which.
    pub(super) fn decide(
        source: &Source,
        file_folder: String,
        file: Option<&AppFile>,
    ) -> Result<Self, Error> {
        if let Some(root) = file.and_then(|file| file.root.as_deref()) {
            let work = existing(source, &below(&file_folder, root), "root in tandem.toml")?;
            return Ok(Self { file: file_folder, work, note: None });
        }
        let here = |name: &str| source.has(&below(&file_folder, name));
        let has_processes = file.is_some_and(|file| !file.processes.is_empty());
        if has_processes || here(PROCFILE) || django::is_manage(source, &below(&file_folder, "manage.py"))? {
            return Ok(Self { work: file_folder.clone(), file: file_folder, note: None });
        }
        let work = match django::folders(source, &file_folder, DEPTH)?.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            _ if here("package.json") || file.is_some() => None,
            several => {
                return Err(Error::SeveralApps {
                    folders: several.iter().take(MOST_NAMED).cloned().collect(),
                });
            }
        };
        let note = work.as_ref().map(|work| {
            format!("commands run in {work}, where manage.py is; `root` in tandem.toml names another folder")
        });
        Ok(Self { work: work.unwrap_or_else(|| file_folder.clone()), file: file_folder, note })
    }

    /// The Procfile that counts: that of the working folder, or of one above it up to that of `tandem.toml`. One further up
    /// belongs to another app of the repository.
    pub(super) fn procfile(&self, source: &Source) -> Option<String> {
        let path = source.nearest(&self.work, PROCFILE)?;
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        (folder.len() >= self.file.len()).then_some(path)
    }
}

/// Folders below the top that look like apps, for an error that says which there are.
pub(super) fn apps(source: &Source) -> Result<Vec<String>, Error> {
    let is_mark = |name: &str| [APP_FILE, PROCFILE].contains(&name);
    let marked = source.files.keys().filter_map(|path| {
        let (folder, name) = path.rsplit_once('/')?;
        (is_mark(name) && folder.split('/').count() <= DEPTH).then(|| folder.to_owned())
    });
    let mut folders: Vec<String> = marked.chain(django::folders(source, "", DEPTH)?).collect();
    if folders.is_empty() {
        // Of a monorepo whose apps say nothing of how they run.
        let listed = source.files.keys().filter_map(|path| path.rsplit_once('/'));
        let listed = listed.filter(|(folder, name)| SIGNS.contains(name) && !folder.contains('/'));
        folders.extend(listed.map(|(folder, _)| folder.to_owned()));
    }
    folders.sort();
    folders.dedup();
    folders.truncate(MOST_NAMED);
    Ok(folders)
}

fn existing(source: &Source, folder: &str, said_by: &'static str) -> Result<String, Error> {
    match source.resolve(folder) {
        Found::Folder(_) if source.folders.contains(folder) => Ok(folder.to_owned()),
        Found::Folder(real) if !real.is_empty() => Ok(real),
        _ => Err(Error::NoRoot { folder: folder.to_owned(), said_by, apps: apps(source)? }),
    }
}
