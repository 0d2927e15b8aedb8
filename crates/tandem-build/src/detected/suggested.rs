//! What a new `tandem.toml` may suggest and only running could tell for sure: what an app writes into its own tree, and
//! which of its folders hold static files. Read from the text of settings and from where files lie.

use std::collections::BTreeMap;

use tandem_blobs::BlobStore;

use crate::data;
use crate::source::{Source, below};

/// Ends of the names of SQLite's files.
const DATABASES: [&str; 3] = [".sqlite3", ".sqlite", ".db"];
/// Names for the folder of a project in its settings.
const TOPS: [&str; 4] = ["BASE_DIR", "PROJECT_DIR", "PROJECT_ROOT", "ROOT_DIR"];
/// More databases than this are examples.
const MOST_DATABASES: usize = 3;

/// Databases below the top: those that lie in the source, and those of Django's settings in a folder.
pub(super) fn databases(source: &Source, store: &BlobStore, django: Option<&str>) -> Vec<String> {
    let mut found = data::databases(source, store);
    for line in lines_of_settings(source, django) {
        let path = path_in(&line).filter(|path| DATABASES.iter().any(|end| path.ends_with(end)));
        found.extend(path.zip(django).map(|(path, folder)| below(folder, &path)));
    }
    found.sort();
    found.dedup();
    found.truncate(MOST_DATABASES);
    found
}

/// The folder of uploads below the top, of Django's settings in a folder.
pub(super) fn media(source: &Source, django: Option<&str>) -> Option<String> {
    let mut lines = lines_of_settings(source, django).into_iter();
    let path =
        lines.find_map(|line| path_in(line.strip_prefix("MEDIA_ROOT")?.trim_start().strip_prefix('=')?))?;
    Some(below(django?, path.trim_end_matches('/')))
}

/// Folders that frameworks without a `collectstatic` serve by themselves: `static` in the working folder, or in a package of it.
pub(super) fn static_folders(source: &Source, work: &str) -> BTreeMap<String, String> {
    let packages =
        source.list(work).into_iter().filter(|(_, kind)| kind == "d").map(|(name, _)| below(work, &name));
    let packages = packages.filter(|folder| source.has(&below(folder, "__init__.py")));
    let mut places = std::iter::once(work.to_owned()).chain(packages).map(|folder| below(&folder, "static"));
    let found = places.find(|folder| source.folders.contains(folder));
    found.map(|folder| ("/static/".to_owned(), folder)).into_iter().collect()
}

/// Lines of the modules that bear the name of settings, two levels below `manage.py` at most.
fn lines_of_settings(source: &Source, django: Option<&str>) -> Vec<String> {
    let Some(folder) = django else { return Vec::new() };
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let is_settings = |path: &&String| {
        let Some(path) = path.strip_prefix(&prefix).filter(|path| path.ends_with(".py")) else {
            return false;
        };
        let parts: Vec<&str> = path.split('/').collect();
        matches!(parts.as_slice(), [.., "settings.py"] | [_, "settings", _] | ["settings", _])
            && parts.len() <= 3
    };
    let texts = source.files.keys().filter(is_settings).filter_map(|path| source.text(path).ok().flatten());
    texts.flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()).collect()
}

/// The path below the project that a line builds: `BASE_DIR / "data" / "x"`, `os.path.join(BASE_DIR, "data/x")`.
fn path_in(line: &str) -> Option<String> {
    let line = line.split('#').next().unwrap_or_default();
    let rest = TOPS.iter().find_map(|top| line.split_once(top)).map(|(_, rest)| rest)?;
    let parts = rest.split(['"', '\'']).skip(1).step_by(2);
    let path = parts.map(|part| part.trim_matches('/')).collect::<Vec<_>>().join("/");
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['{', '%', '\\']);
    path.split('/').all(is_plain).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_project_are_read_in_every_spelling() {
        for (line, path) in [
            ("\"NAME\": BASE_DIR / \"db.sqlite3\",", Some("db.sqlite3")),
            ("'NAME': os.path.join(BASE_DIR, 'data', 'db.sqlite3'),", Some("data/db.sqlite3")),
            ("\"NAME\": os.getenv(\"DB\") or os.path.join(BASE_DIR, \"data/x.db\"),", Some("data/x.db")),
            ("\"NAME\": os.getenv(\"DB_NAME\", BASE_DIR / \"hc.sqlite\"),", Some("hc.sqlite")),
            ("= BASE_DIR.parent / \"../x\"", None),
            ("BASE_DIR = Path(__file__)", None),
            ("# BASE_DIR / 'x'", None),
        ] {
            assert_eq!(path_in(line).as_deref(), path, "{line}");
        }
    }
}
