//! An app that writes where nothing can be written: what its last words say, and the volume that is missing.
//!
//! The source is read-only for instances and jobs. Most apps that were not written for that fail at their first upload, or at
//! the first line of their database, with a message of the system that does not say what to do. Only what is plain is read:
//! a hint that is wrong costs more than none.

use tandem_types::app::AppSpec;
use tandem_types::problem::Problem;
use tandem_types::volume::declaration;

/// Where the source is.
const APP: &str = "/app";
/// How systems, libraries and shells say it.
const REFUSED: [&str; 2] = ["read-only file system", "erofs"];
/// SQLite's words, which have no path.
const DATABASE_REFUSED: [&str; 3] =
    ["attempt to write a readonly database", "unable to open database file", "sqlite_readonly"];
/// Folders that apps keep what they are given or make. The outermost of them is the one to declare.
const KEPT_IN: [&str; 14] = [
    "data",
    "db",
    "files",
    "instance",
    "log",
    "logs",
    "media",
    "storage",
    "tmp",
    "cache",
    "upload",
    "uploads",
    "var",
    "userfiles",
];
/// Folders that no volume can be in.
const SYSTEM: [&str; 11] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/sbin", "/sys", "/usr"];

/// Folders of logs, which nobody has to keep in files.
const LOGS: [&str; 1] = ["/var/log"];
/// Folders of the system that others have theirs in.
const SHARED: [&str; 6] = ["/home", "/mnt", "/opt", "/run", "/srv", "/var"];

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sign {
    /// Something at this absolute path could not be written.
    Path(String),
    /// A database of SQLite could not, wherever it is.
    Database,
}

/// Puts the missing volume in front of a problem's hint, where the last lines in its detail say that one is missing.
#[must_use]
pub fn explain(problem: Problem, spec: Option<&AppSpec>) -> Problem {
    let Some(missing) = spec.and_then(|spec| hint(problem.detail.lines(), spec)) else { return problem };
    let hint = if problem.hint.is_empty() { missing } else { format!("{missing}; {}", problem.hint) };
    problem.hint(hint)
}

/// What to do about the lines of an app that could not write. Of several, the last that has a path counts.
#[must_use]
pub fn hint<'a>(lines: impl Iterator<Item = &'a str>, spec: &AppSpec) -> Option<String> {
    let signs: Vec<Sign> = lines.filter_map(|line| sign(line, spec)).collect();
    let path = signs.iter().rev().find_map(|sign| match sign {
        Sign::Path(path) => Some(path),
        Sign::Database => None,
    });
    match path {
        Some(path) => for_path(path, spec),
        None => signs.last().map(|_| for_database(spec)),
    }
}

/// Whether a line may be about it, for whoever has many lines and does not know the app yet.
#[must_use]
pub fn is_sign(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    REFUSED.iter().chain(&DATABASE_REFUSED).any(|words| lower.contains(words))
}

fn sign(line: &str, spec: &AppSpec) -> Option<Sign> {
    let lower = line.to_ascii_lowercase();
    if DATABASE_REFUSED.iter().any(|words| lower.contains(words)) {
        return Some(Sign::Database);
    }
    if !REFUSED.iter().any(|words| lower.contains(words)) {
        return None;
    }
    let path = quoted(line).filter(|text| !text.contains(' ')).or_else(|| bare(line))?;
    Some(Sign::Path(absolute(path, spec)))
}

/// The last text in quotes: what is refused stands at the end of what Python, Node and the shell's programs say.
fn quoted(line: &str) -> Option<&str> {
    let pairs = [('\'', '\''), ('"', '"'), ('‘', '’'), ('`', '\'')];
    let found = pairs.iter().filter_map(|(open, close)| {
        let end = line.rfind(*close)?;
        let start = line[..end].rfind(*open)? + open.len_utf8();
        Some((start, &line[start..end]))
    });
    found.filter(|(_, text)| !text.is_empty()).max_by_key(|(start, _)| *start).map(|(_, text)| text)
}

/// A word that is an absolute path: `sh: 1: cannot create /app/x: Read-only file system`, `open /app/x: …`.
fn bare(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().map(|word| word.trim_end_matches([':', ',', ')', '.']));
    words.rfind(|word| word.len() > 1 && word.starts_with('/'))
}

/// Commands start in the working folder, which is what a relative path is below.
fn absolute(path: &str, spec: &AppSpec) -> String {
    let whole = match &spec.root {
        _ if path.starts_with('/') => path.to_owned(),
        Some(root) => format!("{APP}/{root}/{path}"),
        None => format!("{APP}/{path}"),
    };
    let mut parts = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn for_path(path: &str, spec: &AppSpec) -> Option<String> {
    let within = |folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
    if let Some((name, _)) = spec.volumes.iter().find(|(_, target)| within(target)) {
        return Some(format!(
            "the volume {name} is declared, and its disk takes no writes: look at `dmesg` and `findmnt` on its host"
        ));
    }
    let collected = spec.static_folders.values().any(|folder| within(&format!("{APP}/{folder}")));
    if collected || path.ends_with("/staticfiles") || path.contains("/staticfiles/") {
        return Some(
            "the build collects static files, and what it has made is read-only: take `collectstatic` out of the command"
                .to_owned(),
        );
    }
    if SYSTEM.iter().any(|folder| within(folder)) {
        return None;
    }
    if !is_in_source(path) {
        return Some(outside(path, spec));
    }
    match folder(path, spec) {
        Some(folder) => Some(format!(
            "the source is read-only, and {path} is in it; if that must last, declare a volume in tandem.toml: {}",
            declaration(&folder, &spec.volumes)
        )),
        None => Some(format!("{path} is in the source, which is read-only: {}", elsewhere(spec))),
    }
}

fn is_in_source(path: &str) -> bool {
    path == APP || path.strip_prefix(APP).is_some_and(|rest| rest.starts_with('/'))
}

/// What lies beside the source is the system's, of which apps see one that is read-only. A volume takes the place of what is in its
/// folder, so it is the file's own folder and not one above, where others keep theirs.
fn outside(path: &str, spec: &AppSpec) -> String {
    let log =
        LOGS.iter().find(|folder| path.strip_prefix(**folder).is_some_and(|rest| rest.starts_with('/')));
    if log.is_some() {
        return format!(
            "the system is read-only, and {path} is in it: have the app log to standard output, which `tandem logs` keeps"
        );
    }
    let (parent, name) = path.rsplit_once('/').unwrap_or_default();
    let is_file = name.trim_start_matches('.').contains('.');
    let own = if is_file { parent } else { path };
    // `/srv` itself would hide what others keep there.
    let is_top = own.matches('/').count() < 2 && SHARED.contains(&own) || own.is_empty();
    if is_top {
        return format!("the system is read-only, and {path} is in it: {}", elsewhere(spec));
    }
    format!(
        "the system is read-only, and {path} is in it; if that must last, declare a volume in tandem.toml: {}",
        declaration(own, &spec.volumes)
    )
}

/// The folder to be a volume. None where it is the app's own, which a volume would hide.
fn folder(path: &str, spec: &AppSpec) -> Option<String> {
    let own = absolute("", spec);
    let own = own.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let kept = parts.iter().position(|part| KEPT_IN.contains(&part.to_ascii_lowercase().as_str()));
    let is_file = parts.last().is_some_and(|name| name.trim_start_matches('.').contains('.'));
    let depth = match kept {
        // A file of that name, such as /app/data.
        Some(place) if place + 1 < parts.len() || !is_file => place + 1,
        _ if is_file => parts.len() - 1,
        _ => parts.len(),
    };
    let folder = format!("/{}", parts[..depth].join("/"));
    let is_own = folder == "/" || folder == APP || folder == own || own.starts_with(&format!("{folder}/"));
    (!is_own).then_some(folder)
}

fn for_database(spec: &AppSpec) -> String {
    format!(
        "SQLite cannot write its file and beside it, as in the source, which is read-only: {}",
        elsewhere(spec)
    )
}

/// For what lies in a folder that cannot be a volume.
fn elsewhere(spec: &AppSpec) -> String {
    match spec.volumes.iter().next() {
        Some((name, path)) => format!("have the app keep it in the volume {name}, below {path}"),
        None => format!(
            "declare a volume in tandem.toml, {}, and have the app keep it below /data",
            declaration("/data", &spec.volumes)
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn told(line: &str, spec: &AppSpec) -> String {
        hint([line, "  at the end of it"].into_iter(), spec).unwrap_or_default()
    }

    #[test]
    fn what_python_node_and_shells_say_names_the_volume_to_declare() {
        let spec = AppSpec::default();
        for (line, declared) in [
            ("OSError: [Errno 30] Read-only file system: '/app/media/x'", "media = \"/app/media\""),
            (
                "OSError: [Errno 30] Read-only file system: '/app/media/avatars/1.png'",
                "media = \"/app/media\"",
            ),
            ("OSError: [Errno 30] Read-only file system: 'uploads'", "uploads = \"/app/uploads\""),
            (
                "OSError: [Errno 30] Read-only file system: '/app/shop/pictures/x.png'",
                "\"/app/shop/pictures\"",
            ),
            ("[Error: EROFS: read-only file system, open '/app/data/kuma.db'] {", "data = \"/app/data\""),
            ("Error: EROFS: read-only file system, mkdir '/app/tickets'", "tickets = \"/app/tickets\""),
            ("sh: 1: cannot create /app/var/x: Read-only file system", "var = \"/app/var\""),
            ("mkdir: cannot create directory ‘logs’: Read-only file system", "logs = \"/app/logs\""),
            ("OSError: [Errno 30] Read-only file system: '/app/CTFd/../.data'", "data = \"/app/.data\""),
        ] {
            let hint = told(line, &spec);
            assert!(hint.contains("declare a volume in tandem.toml: [volumes] "), "{line}: {hint}");
            assert!(hint.ends_with(declared), "{line}: {hint}");
        }
    }

    #[test]
    fn what_lies_beside_the_source_is_said_to_be_the_systems_and_no_folder_above_is_hidden() {
        let spec = AppSpec::default();
        let refused =
            |path: &str| told(&format!("OSError: [Errno 30] Read-only file system: '{path}'"), &spec);
        for (path, says) in [
            ("/var/log/app.log", "have the app log to standard output"),
            ("/var/log/app/error.log", "have the app log to standard output"),
            ("/var/lib/app/x.db", "[volumes] app = \"/var/lib/app\""),
            ("/var/lib/app", "[volumes] app = \"/var/lib/app\""),
            ("/srv/files/a.txt", "[volumes] files = \"/srv/files\""),
            ("/srv/app.db", "[volumes] data = \"/data\""),
            ("/data", "[volumes] data = \"/data\""),
            ("/app.db", "[volumes] data = \"/data\""),
        ] {
            let hint = refused(path);
            assert!(hint.starts_with(&format!("the system is read-only, and {path} is in it")), "{hint}");
            assert!(hint.contains(says), "{path}: {hint}");
        }
    }

    #[test]
    fn paths_are_below_the_working_folder() {
        let spec = AppSpec { root: Some("backend".to_owned()), ..AppSpec::default() };
        let hint = told("OSError: [Errno 30] Read-only file system: 'media/x.png'", &spec);
        assert!(hint.ends_with("[volumes] media = \"/app/backend/media\""), "{hint}");
        let hint = told("OSError: [Errno 30] Read-only file system: 'db.sqlite3'", &spec);
        assert!(hint.contains("[volumes] data = \"/data\"") && !hint.contains("\"/app"), "{hint}");
    }

    #[test]
    fn a_database_without_a_path_is_to_be_kept_elsewhere() {
        let mut spec = AppSpec::default();
        for line in [
            "django.db.utils.OperationalError: attempt to write a readonly database",
            "sqlite3.OperationalError: unable to open database file",
            "SqliteError: SQLITE_READONLY: attempt to write a readonly database",
        ] {
            assert!(told(line, &spec).contains("[volumes] data = \"/data\""), "{line}");
        }
        spec.volumes = BTreeMap::from([("files".to_owned(), "/srv/files".to_owned())]);
        let hint = told("sqlite3.OperationalError: unable to open database file", &spec);
        assert!(hint.ends_with("keep it in the volume files, below /srv/files"), "{hint}");
    }

    #[test]
    fn a_volume_that_is_there_is_not_to_be_declared_again() {
        let volumes = BTreeMap::from([("media".to_owned(), "/app/media".to_owned())]);
        let spec = AppSpec { volumes, ..AppSpec::default() };
        let hint = told("OSError: [Errno 30] Read-only file system: '/app/media/x'", &spec);
        assert!(hint.starts_with("the volume media is declared, and its disk takes no writes"), "{hint}");
    }

    #[test]
    fn collecting_static_files_once_more_is_what_should_go() {
        let static_folders = BTreeMap::from([("/static/".to_owned(), "assets".to_owned())]);
        let spec = AppSpec { static_folders, ..AppSpec::default() };
        let hint = told("OSError: [Errno 30] Read-only file system: '/app/assets/admin'", &spec);
        assert!(hint.ends_with("take `collectstatic` out of the command"), "{hint}");
    }

    #[test]
    fn what_says_nothing_of_it_gets_no_hint() {
        let spec = AppSpec::default();
        for line in [
            "PermissionError: [Errno 13] Permission denied: '/app/media/x'",
            "OSError: [Errno 30] Read-only file system: '/etc/hosts'",
            "the file system is in order",
            "EROFS",
        ] {
            assert_eq!(told(line, &spec), "", "{line}");
        }
    }

    #[test]
    fn the_volume_comes_before_what_was_hinted() {
        let problem = Problem::new(422, "release_failed", "it failed")
            .detail("a\nOSError: [Errno 30] Read-only file system: '/app/media/x'\nb")
            .hint("mend it");
        let hint = explain(problem, Some(&AppSpec::default())).hint;
        assert!(hint.ends_with("[volumes] media = \"/app/media\"; mend it"), "{hint}");
    }
}
