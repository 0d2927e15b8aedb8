//! What `manage.py` and the files around it say of a Django project, without running it.

use std::collections::BTreeSet;

use crate::Error;
use crate::requirements::Packages;
use crate::server::Server;
use crate::source::{Source, below};

mod settings;
#[cfg(test)]
mod tests;

/// A Django project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Django {
    /// Folder of `manage.py` below the top.
    pub(crate) folder: String,
    /// Settings module that is used unless config says otherwise.
    pub(crate) settings: Option<String>,
    /// Module with the WSGI application.
    wsgi: Option<String>,
    /// Module with the ASGI application.
    asgi: Option<String>,
    /// Folders that `manage.py` puts on the path before anything is imported; servers do not run it.
    pub(crate) paths: BTreeSet<String>,
    /// What was taken for granted.
    pub(crate) notes: Vec<String>,
}

impl Django {
    /// Reads the project whose `manage.py` is in a folder or, where there is none, in the only one below it that has one.
    /// `said` is the settings module that `tandem.toml` names.
    ///
    /// # Errors
    /// A file that is no text, or nothing that says which settings are used.
    pub(crate) fn detect(source: &Source, work: &str, said: Option<&str>) -> Result<Option<Self>, Error> {
        let folder = match folders(source, work, DEPTH)?.as_slice() {
            [first, ..] if first == work => first.clone(),
            [only] => only.clone(),
            _ => return Ok(None),
        };
        let manage = source.text(&below(&folder, "manage.py"))?.unwrap_or_default();
        let hint = said.map(str::to_owned).or_else(|| settings::module_in(&manage));
        let entry = |name: &str| entry_module(source, &folder, hint.as_deref(), name);
        let (wsgi, asgi) = (entry("wsgi"), entry("asgi"));
        let served = wsgi.as_deref().or(asgi.as_deref());
        let text = served.map(|module| source.text(&file_of(&folder, module))).transpose()?.flatten();
        let texts = settings::Texts { manage: &manage, entry: served.zip(text.as_deref()) };
        let mut notes = Vec::new();
        let settings = match said {
            Some(said) => Some(said.to_owned()),
            None => {
                let found = settings::decide(source, &folder, &texts);
                let note =
                    found.note.map(|note| format!("{note}; `[build] settings` in tandem.toml names others"));
                notes.extend(note);
                found.module
            }
        };
        if settings.is_none() && !manage.contains("DJANGO_SETTINGS_MODULE") {
            return Err(Error::NoSettings { found: settings::all(source, &folder) });
        }
        let paths = search_paths(source, &folder, &manage);
        Ok(Some(Self { wsgi, asgi, settings, paths, notes, folder }))
    }

    /// Path of `manage.py` from the working folder.
    pub(crate) fn manage_path(&self, work: &str) -> String {
        let path = below(&self.folder, "manage.py");
        let prefix = if work.is_empty() { String::new() } else { format!("{work}/") };
        path.strip_prefix(&prefix).map(str::to_owned).unwrap_or(path)
    }

    /// Release phase of a Django project unless another is given.
    pub(crate) fn migrate(&self, work: &str) -> String {
        format!("python {} migrate --noinput", quoted(&self.manage_path(work)))
    }

    /// A command that serves it with the server that is among its dependencies, else with the one that Tandem adds.
    pub(crate) fn web_command(&self, packages: &Packages) -> Option<(String, Option<Server>)> {
        let wsgi = |server: &str| self.wsgi.as_ref().filter(|_| packages.has(server));
        let asgi = |server: &str| self.asgi.as_ref().filter(|_| packages.has(server));
        let own = if let Some(module) = wsgi("gunicorn") {
            Server::Gunicorn.command(module)
        } else if let Some(module) = asgi("uvicorn") {
            Server::Uvicorn.command(&format!("{module}:application"))
        } else if let Some(module) = asgi("daphne") {
            format!("daphne -b 127.0.0.1 -p $PORT {module}:application")
        } else if let Some(module) = wsgi("waitress") {
            format!("waitress-serve --listen=127.0.0.1:$PORT {module}:application")
        } else if let Some(module) = &self.wsgi {
            return Some((Server::Gunicorn.command(module), Some(Server::Gunicorn)));
        } else {
            let module = self.asgi.as_ref()?;
            return Some((Server::Uvicorn.command(&format!("{module}:application")), Some(Server::Uvicorn)));
        };
        Some((own, None))
    }

    /// A command that imports what serves requests, and every module that routes name: most mistakes that stop a page
    /// from working are found by that, and nothing listens.
    pub(crate) fn smoke_command(&self) -> Option<String> {
        self.settings.as_ref()?;
        let module = self.wsgi.as_ref().or(self.asgi.as_ref());
        let import =
            module.map(|module| format!("importlib.import_module('{module}'); ")).unwrap_or_default();
        Some(format!(
            "python -c \"import importlib, django, django.urls; from django.conf import settings; django.setup(); \
             {import}hasattr(settings, 'ROOT_URLCONF') and django.urls.get_resolver().url_patterns\""
        ))
    }
}

/// How deep below the working folder a `manage.py` is looked for: `site/manage.py`, `src/site/manage.py`.
const DEPTH: usize = 2;

/// Folders with the `manage.py` of a Django project: the given one, and those at most so deep below it.
pub(crate) fn folders(source: &Source, folder: &str, depth: usize) -> Result<Vec<String>, Error> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut found = Vec::new();
    for path in source.files.keys().filter(|path| path.ends_with("manage.py")) {
        let Some(rest) = path.strip_prefix(&prefix) else { continue };
        let is_named = rest == "manage.py" || rest.ends_with("/manage.py");
        if is_named && rest.matches('/').count() <= depth && is_manage(source, path)? {
            found.push(path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned());
        }
    }
    found.sort_by_key(|found| found.as_str() != folder);
    Ok(found)
}

/// Whether a file is a `manage.py` of Django's: other frameworks had scripts of this name, too.
pub(crate) fn is_manage(source: &Source, path: &str) -> Result<bool, Error> {
    let text = source.text(path)?;
    Ok(text.is_some_and(|text| {
        text.contains("DJANGO_SETTINGS_MODULE") || text.contains("django.core.management")
    }))
}

/// Folders of the source that lines such as `sys.path.insert(0, os.path.join(BASE_DIR, "apps"))` name.
fn search_paths(source: &Source, folder: &str, manage: &str) -> BTreeSet<String> {
    let lines =
        manage.lines().filter(|line| line.contains("sys.path.") && !line.trim_start().starts_with('#'));
    let texts = lines.flat_map(|line| line.split(['"', '\'']).skip(1).step_by(2));
    texts
        .map(|text| below(folder, text.trim_matches('/')))
        .filter(|path| source.folders.contains(path))
        .collect()
}

/// `shop.wsgi`: beside the settings or in a package above them, else the only one that there is.
fn entry_module(source: &Source, folder: &str, settings: Option<&str>, name: &str) -> Option<String> {
    let mut package = settings.unwrap_or_default();
    while let Some((parent, _)) = package.rsplit_once('.') {
        package = parent;
        let module = format!("{package}.{name}");
        if source.has(&file_of(folder, &module)) {
            return Some(module);
        }
    }
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let (file, alone) = (format!("/{name}.py"), format!("{name}.py"));
    let below = source.files.keys().filter_map(|path| path.strip_prefix(&prefix));
    let mut all = below.filter(|path| path.ends_with(&file) || *path == alone);
    let module = all.next()?.strip_suffix(".py")?.replace('/', ".");
    (all.next().is_none() && tandem_app_file::is_module(&module)).then_some(module)
}

fn file_of(folder: &str, module: &str) -> String {
    below(folder, &format!("{}.py", module.replace('.', "/")))
}

/// A path as one word of a shell command.
fn quoted(path: &str) -> String {
    let is_plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-+@".contains(&b));
    if is_plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}
