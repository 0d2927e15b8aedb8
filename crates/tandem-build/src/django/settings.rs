//! Which settings module a Django project runs with, where several could be meant.
//!
//! Authors develop with what `manage.py` names, and servers use what the entry point names. Many projects name the one for
//! development in both, and say elsewhere that production is to use the one beside it.

use crate::source::{Source, below};

/// Names of settings modules that are for development.
const DEVELOPMENT: [&str; 4] = ["dev", "develop", "development", "local"];
/// Names of those that are meant to be used instead.
const PRODUCTION: [&str; 2] = ["production", "prod"];
/// Modules that a note or an error names.
const MOST_NAMED: usize = 6;

/// A settings module, and what was taken for granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    pub(crate) module: Option<String>,
    pub(crate) note: Option<String>,
}

/// Texts that may name a settings module.
pub(super) struct Texts<'a> {
    /// Of `manage.py`.
    pub(super) manage: &'a str,
    /// Of the module with the WSGI or else the ASGI application, and its name.
    pub(super) entry: Option<(&'a str, &'a str)>,
}

/// The settings module of a project whose modules lie in a folder.
pub(super) fn decide(source: &Source, folder: &str, texts: &Texts<'_>) -> Settings {
    let of_manage = module_in(texts.manage);
    let of_entry = texts.entry.and_then(|(_, text)| module_in(text));
    let (module, note) = match (of_manage, of_entry) {
        (Some(manage), Some(entry)) if manage != entry => {
            let by = texts.entry.map_or("", |(name, _)| name);
            let note = format!("settings are {entry}, which {by} names, and not {manage} of manage.py");
            (Some(entry), Some(note))
        }
        (manage, entry) => (entry.or(manage), None),
    };
    let module = module.or_else(|| beside_entry(source, folder, texts));
    if let Some(module) = &module
        && let Some(production) = production_beside(source, folder, module)
    {
        let note = format!("settings are {production}, since {module} is for development by its name");
        return Settings { module: Some(production), note: Some(note) };
    }
    Settings { module, note }
}

/// Settings modules that a project has, for people who must choose.
pub(super) fn all(source: &Source, folder: &str) -> Vec<String> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let names = source.files.keys().filter_map(|path| {
        let path = path.strip_prefix(&prefix)?.strip_suffix(".py")?;
        // `production.example.py` is none until somebody copies it.
        let is_settings = path.ends_with("/settings") || path.rsplit_once('/')?.0.ends_with("/settings");
        (is_settings && !path.contains('.') && !path.ends_with("__init__")).then(|| path.replace('/', "."))
    });
    names.filter(|name| tandem_app_file::is_module(name)).take(MOST_NAMED).collect()
}

/// The default in `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")`.
pub(super) fn module_in(text: &str) -> Option<String> {
    text.match_indices("DJANGO_SETTINGS_MODULE").find_map(|(at, name)| {
        let rest = text[at + name.len()..].trim_start_matches(['"', '\'', ']']).trim_start();
        let rest = rest.strip_prefix([',', '='])?.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let module = rest[1..].split(quote).next()?;
        tandem_app_file::is_module(module).then(|| module.to_owned())
    })
}

/// `shop.settings` beside `shop/wsgi.py`.
fn beside_entry(source: &Source, folder: &str, texts: &Texts<'_>) -> Option<String> {
    let package = texts.entry?.0.rsplit_once('.')?.0;
    let module = format!("{package}.settings");
    source.has(&file_of(folder, &module)).then_some(module)
}

/// `shop.settings.production` for `shop.settings.dev`, and for a package `shop.settings` that imports `.dev`.
fn production_beside(source: &Source, folder: &str, module: &str) -> Option<String> {
    let (package, name) = module.rsplit_once('.').unwrap_or(("", module));
    let package = if DEVELOPMENT.contains(&name) {
        package
    } else {
        let init =
            source.text(&below(folder, &format!("{}/__init__.py", module.replace('.', "/")))).ok()??;
        imports_development(&init).then_some(module)?
    };
    let dot = if package.is_empty() { "" } else { "." };
    let beside = PRODUCTION.map(|name| format!("{package}{dot}{name}"));
    beside.into_iter().find(|module| source.has(&file_of(folder, module)))
}

fn imports_development(init: &str) -> bool {
    let first = init.lines().map(str::trim).find_map(|line| line.strip_prefix("from ."));
    first.and_then(|rest| rest.split_whitespace().next()).is_some_and(|name| DEVELOPMENT.contains(&name))
}

fn file_of(folder: &str, module: &str) -> String {
    below(folder, &format!("{}.py", module.replace('.', "/")))
}
