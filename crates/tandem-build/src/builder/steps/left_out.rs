//! What is never built, whatever it was committed for: files with the values of somebody's laptop.

use tandem_blobs::scan::{EnvironmentFiles, is_environment_file};

use crate::Error;
use crate::source::{Source, below};
use tandem_app_file as app_file;
use tandem_app_file::APP_FILE;

/// Files that a warning names.
const MOST_NAMED: usize = 3;

/// Removes `.env` and the like, but what `[source] include` names; returns what was removed.
///
/// # Errors
/// An app file that cannot be understood.
pub(super) fn remove(source: &mut Source, root: Option<&str>) -> Result<Vec<String>, Error> {
    let folder = root.map(|root| root.trim_matches('/')).unwrap_or_default();
    let named = |path: &&String| is_environment_file(path.rsplit('/').next().unwrap_or(path));
    let found: Vec<String> = source.files.keys().chain(source.links.keys()).filter(named).cloned().collect();
    if found.is_empty() {
        return Ok(found);
    }
    let file = source.text(&below(folder, APP_FILE))?.map(|text| app_file::parse(&text)).transpose()?;
    let include = file.map(|file| file.source.include_from(folder)).unwrap_or_default();
    let wanted = EnvironmentFiles::included_by(&include);
    let removed: Vec<String> = found.into_iter().filter(|path| !wanted.contains(path)).collect();
    for path in &removed {
        source.files.remove(path);
        source.links.remove(path);
    }
    Ok(removed)
}

/// What people should know of it.
pub(super) fn warning(removed: &[String]) -> Option<String> {
    tandem_blobs::scan::warning_of_environment_files(removed, MOST_NAMED)
}
