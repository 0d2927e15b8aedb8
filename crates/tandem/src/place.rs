//! Which app a command is about when nobody says so: what the folder declares, what it is called, or the only app
//! that the server knows.

use std::path::{Path, PathBuf};

use tandem_types::api::AppSummary;
use tandem_types::{AppName, EnvironmentName};

use crate::failure::Failure;

/// Longest app name; see [`AppName`].
const LONGEST_NAME: usize = 40;
/// Files that make a folder an app of its own, so that no folder above it is looked at.
const MARKS: [&str; 3] = ["tandem.toml", "Procfile", "manage.py"];

/// Files beside which an app may lie that says nothing of itself: only the server reads it.
const SIGNS: [&str; 7] = [
    "Pipfile",
    "environment.yml",
    "package.json",
    "poetry.lock",
    "pyproject.toml",
    "requirements.txt",
    "uv.lock",
];
/// Folders that a refusal names.
const MOST_NAMED: usize = 5;

/// An app's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The app.
    pub(crate) app: AppName,
    /// The environment.
    pub(crate) environment: EnvironmentName,
}

impl Place {
    /// An app's environment.
    pub(crate) fn new(app: AppName, environment: EnvironmentName) -> Self {
        Self { app, environment }
    }

    /// The API's path of something in this environment.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/apps/{}/envs/{}/{rest}", self.app, self.environment)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.app, self.environment)
    }
}

/// The folder the command was typed in.
///
/// # Errors
///
/// Where it was deleted meanwhile.
pub(crate) fn current_folder() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|e| Failure::chain("find the current folder", &e))
}

/// The folder that holds the app: this one, or the nearest above it with a `tandem.toml`, up to the root of the
/// git work tree and never beyond it: what lies outside belongs to somebody else.
pub(crate) fn app_folder(start: &Path) -> PathBuf {
    if is_app(start) || !in_git(start) {
        return start.to_owned();
    }
    let mut folder = start;
    loop {
        if folder.join("tandem.toml").exists() {
            return folder.to_owned();
        }
        match folder.parent() {
            Some(parent) if !folder.join(".git").exists() => folder = parent,
            _ => return start.to_owned(),
        }
    }
}

/// Whether a folder holds an app: something in it says how to run it.
pub(crate) fn is_app(folder: &Path) -> bool {
    MARKS.iter().any(|mark| folder.join(mark).exists())
}

/// Whether something in a folder says how an app is run, or what one needs.
fn has_sign(folder: &Path) -> bool {
    MARKS.iter().chain(&SIGNS).any(|name| folder.join(name).exists())
}

/// Whether a folder may hold an app that nothing declares: what it needs is listed, or a folder in it is one.
pub(crate) fn may_be_app(folder: &Path) -> bool {
    let below = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    has_sign(folder)
        || below(folder).iter().any(|inner| is_app(inner) || below(inner).iter().any(|deep| is_app(deep)))
}

/// Folders right below this one that may hold an app, by name: what the top of a monorepo could mean.
pub(crate) fn apps_below(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries
        .filter(|entry| has_sign(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = named.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names.truncate(MOST_NAMED);
    names
}

/// Whether a folder is a bare repository of git, which has no files of its own to send.
pub(crate) fn is_bare_repository(folder: &Path) -> bool {
    ["HEAD", "objects", "refs"].iter().all(|name| folder.join(name).exists())
}

fn in_git(folder: &Path) -> bool {
    folder.ancestors().any(|folder| folder.join(".git").exists())
}

/// The name that the app file of this folder, or of one above it, declares.
///
/// # Errors
///
/// An app file that cannot be read or understood.
pub(crate) fn declared(folder: &Path) -> Result<Option<AppName>, Failure> {
    declared_in(&app_folder(folder))
}

/// The name that the app file of exactly this folder declares.
///
/// # Errors
///
/// An app file that cannot be read or understood.
pub(crate) fn declared_in(folder: &Path) -> Result<Option<AppName>, Failure> {
    let file = tandem_app_file::read(folder).map_err(|e| Failure::from(tandem_app_file::problem(&e)))?;
    Ok(file.and_then(|file| file.app))
}

/// The folder's name made into a valid app name: `My Shop_2` → `my-shop-2`. None where nothing is left of it.
pub(crate) fn name_of(folder: &Path) -> Option<AppName> {
    name_in(&app_folder(folder))
}

/// The same for exactly this folder.
pub(crate) fn name_in(folder: &Path) -> Option<AppName> {
    name_from(&folder.file_name()?.to_string_lossy())
}

/// What people call something made into a valid app name.
pub(crate) fn name_from(called: &str) -> Option<AppName> {
    let raw = called.to_lowercase();
    let mut name = String::new();
    for c in raw.chars() {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "app-");
    }
    name.truncate(LONGEST_NAME);
    name.trim_end_matches('-').parse().ok()
}

/// The app meant where the folder declares none, and whether it was guessed: the one called like the folder, else
/// the only one.
///
/// # Errors
///
/// Where there is none or more than one.
pub(crate) fn choose(folder: Option<AppName>, apps: &[AppSummary]) -> Result<(AppName, bool), Failure> {
    if let Some(named) = apps.iter().find(|app| Some(&app.name) == folder.as_ref()) {
        return Ok((named.name.clone(), false));
    }
    match apps {
        [only] => Ok((only.name.clone(), true)),
        [] => Err(Failure::new("there is no app on this server yet")
            .hint("type `tandem deploy` in the folder of your app")),
        several => {
            let names: Vec<_> = several.iter().map(|app| app.name.as_str()).collect();
            Err(Failure::new("this folder does not say which app is meant")
                .detail(format!("apps on this server: {}", names.join(", ")))
                .hint(format!("add `--app {}`, or go to the app's folder", names[0])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(name: &str) -> AppSummary {
        AppSummary {
            name: name.parse().expect("a valid name"),
            created: jiff::Timestamp::UNIX_EPOCH,
            environments: Vec::new(),
        }
    }

    #[test]
    fn folder_names_become_valid_app_names() {
        for (folder, name) in [
            ("/srv/guestbook", Some("guestbook")),
            ("/srv/My Shop_2", Some("my-shop-2")),
            ("/srv/2048", Some("app-2048")),
            ("/srv/--weird--", Some("weird")),
            ("/srv/日本", None),
            ("/", None),
        ] {
            assert_eq!(name_of(Path::new(folder)).map(|n| n.to_string()).as_deref(), name, "{folder}");
        }
        let long = format!("/srv/{}", "ab-".repeat(30));
        assert!(name_of(Path::new(&long)).is_some_and(|name| name.as_str().len() <= LONGEST_NAME));
    }

    #[test]
    fn the_folder_wins_over_the_only_app_and_several_apps_are_listed() {
        let (shop, blog) = (summary("shop"), summary("blog"));
        let named = choose("shop".parse().ok(), &[blog.clone(), shop.clone()]).expect("it is there");
        assert_eq!(named, (shop.name.clone(), false));
        let only = choose("other".parse().ok(), std::slice::from_ref(&blog)).expect("only one is there");
        assert_eq!(only, (blog.name.clone(), true));
        assert!(choose(None, &[]).is_err());
        assert!(choose("other".parse().ok(), &[blog, shop]).is_err());
    }

    #[test]
    fn the_app_file_is_found_upwards_but_not_beyond_the_work_tree() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let inner = root.path().join("repo/src/deep");
        std::fs::create_dir_all(&inner).expect("folders");
        std::fs::File::create(root.path().join("tandem.toml")).expect("a file");
        assert_eq!(app_folder(&inner), inner, "without git nothing above is looked at");
        std::fs::create_dir(root.path().join("repo/.git")).expect("a folder");
        assert_eq!(app_folder(&inner), inner, "the file beyond the work tree is not ours");
        std::fs::File::create(root.path().join("repo/tandem.toml")).expect("a file");
        assert_eq!(app_folder(&inner), root.path().join("repo"));
        std::fs::File::create(inner.join("Procfile")).expect("a file");
        assert_eq!(app_folder(&inner), inner, "a folder with a Procfile is an app of its own");
    }

    #[test]
    fn a_folder_whose_apps_lie_below_may_be_sent_and_a_home_folder_may_not() {
        let home = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir_all(home.path().join("a/b/c")).expect("folders");
        assert!(!may_be_app(home.path()));
        std::fs::File::create(home.path().join("a/b/c/manage.py")).expect("a file");
        assert!(!may_be_app(home.path()), "too deep");
        assert!(may_be_app(&home.path().join("a")) && may_be_app(&home.path().join("a/b/c")));
        std::fs::File::create(home.path().join("requirements.txt")).expect("a file");
        assert!(may_be_app(home.path()));
    }
}
