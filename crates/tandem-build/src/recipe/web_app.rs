//! Flask and FastAPI apps that say nothing of how they are served: the app object, found where the frameworks' own
//! commands look for it (`flask run`, `fastapi run`), and where tutorials put it.

use super::app_object::object_in;
use crate::Error;
use crate::requirements::Packages;
use crate::server::Server;
use crate::source::{Source, below};
use tandem_app_file::is_module;

/// Files that may hold it, in this order.
const FILES: [&str; 8] =
    ["wsgi.py", "asgi.py", "main.py", "app.py", "application.py", "api.py", "server.py", "run.py"];
/// Frameworks, by package, whose apps are asked by ASGI.
const ASGI: [&str; 5] = ["fastapi", "litestar", "quart", "sanic", "starlette"];

/// An app and how it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebApp {
    /// `main:app`, or `shop:create_app()`.
    pub(crate) object: String,
    /// What serves it.
    pub(crate) server: Server,
    /// The file it is in, where nothing of the app names that.
    pub(crate) guessed: Option<String>,
}

impl WebApp {
    /// Finds it in the working folder, in `src` below that, or in a package of either.
    pub(crate) fn detect(source: &Source, work: &str, packages: &Packages) -> Result<Option<Self>, Error> {
        let server = match ASGI.iter().any(|name| packages.has(name)) {
            true => Server::Uvicorn,
            false if packages.has("flask") => Server::Gunicorn,
            false => return Ok(None),
        };
        let said = flask_app(source, work)?.into_iter().map(|found| (found, true));
        let guessed = candidates(source, work).into_iter().map(|found| (found, false));
        for ((module, path), is_said) in said.chain(guessed) {
            let Some(text) = source.text(&path)? else { continue };
            if let Some(object) = object_in(&text) {
                let guessed = (!is_said).then_some(path);
                return Ok(Some(Self { object: format!("{module}:{object}"), server, guessed }));
            }
        }
        Ok(None)
    }

    /// What a build tells of a guess.
    pub(crate) fn note(&self) -> Option<String> {
        let path = self.guessed.as_ref()?;
        Some(format!(
            "{} is served, which was found in {path}; `[processes.web] command` in tandem.toml names another",
            self.object
        ))
    }

    /// The command that serves it, and the server that is to be added for that.
    pub(crate) fn web_command(&self, packages: &Packages) -> (String, Option<Server>) {
        let own = |server: Server| packages.has(server.name());
        if !own(self.server) && self.server == Server::Gunicorn && packages.has("waitress") {
            let (call, object) = match self.object.strip_suffix("()") {
                Some(object) => (" --call", object),
                None => ("", self.object.as_str()),
            };
            return (format!("waitress-serve --listen=127.0.0.1:$PORT{call} {object}"), None);
        }
        if !own(self.server) && self.server == Server::Uvicorn && packages.has("hypercorn") {
            return (format!("hypercorn --bind 127.0.0.1:$PORT '{}'", self.object), None);
        }
        (self.server.command(&self.object), (!own(self.server)).then_some(self.server))
    }
}

/// What `FLASK_APP` in `.flaskenv` names: that file is for everybody, unlike `.env`.
fn flask_app(source: &Source, work: &str) -> Result<Option<(String, String)>, Error> {
    let Some(text) = source.text(&below(work, ".flaskenv"))? else { return Ok(None) };
    let value = text.lines().find_map(|line| {
        line.trim().trim_start_matches("export ").strip_prefix("FLASK_APP")?.trim_start().strip_prefix('=')
    });
    let Some(value) = value.map(|value| value.trim().trim_matches(['"', '\''])) else { return Ok(None) };
    let name = value.split(':').next().unwrap_or(value).trim_end_matches(".py").replace('/', ".");
    Ok(is_module(&name).then(|| module(source, work, &name)).flatten())
}

/// The file of a module: `shop.py` or `shop/__init__.py`.
fn module(source: &Source, folder: &str, name: &str) -> Option<(String, String)> {
    let path = name.replace('.', "/");
    let files = [format!("{path}.py"), format!("{path}/__init__.py")].map(|path| below(folder, &path));
    files.into_iter().find(|path| source.has(path)).map(|path| (name.to_owned(), path))
}

/// Modules that may hold it, each with its file.
fn candidates(source: &Source, work: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for folder in [work.to_owned(), below(work, "src")] {
        let stems = FILES.map(|file| file.trim_end_matches(".py"));
        all.extend(stems.iter().filter_map(|stem| module(source, &folder, stem)));
        let names = source.list(&folder).into_iter().filter(|(name, kind)| kind == "d" && is_module(name));
        for package in names.map(|(name, _)| name).filter(|name| !is_beside(name)) {
            all.extend(stems.iter().filter_map(|stem| module(source, &folder, &format!("{package}.{stem}"))));
            let init = below(&folder, &format!("{package}/__init__.py"));
            if source.has(&init) {
                all.push((package, init));
            }
        }
    }
    all
}

/// Folders beside an app that have an `app` of their own.
fn is_beside(name: &str) -> bool {
    ["docs", "examples", "example", "migrations", "scripts", "tests", "test"].contains(&name)
}
