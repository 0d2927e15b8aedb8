//! Flask and FastAPI apps that say nothing of how they are served: the app object, found where the frameworks' own
//! commands look for it (`flask run`, `fastapi run`), and where tutorials put it.

use crate::Error;
use crate::django::is_module;
use crate::requirements::Packages;
use crate::server::Server;
use crate::source::{Source, below};

/// Files that may hold it, in this order.
const FILES: [&str; 8] =
    ["wsgi.py", "asgi.py", "main.py", "app.py", "application.py", "api.py", "server.py", "run.py"];
/// What it is called, in this order.
const OBJECTS: [&str; 3] = ["app", "application", "api"];
/// What makes one, in this order.
const FACTORIES: [&str; 2] = ["create_app", "make_app"];
/// Frameworks, by package, whose apps are asked by ASGI.
const ASGI: [&str; 5] = ["fastapi", "litestar", "quart", "sanic", "starlette"];

/// An app and how it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebApp {
    /// `main:app`, or `shop:create_app()`.
    pub(crate) object: String,
    /// What serves it.
    pub(crate) server: Server,
}

impl WebApp {
    /// Finds it in the working folder, in `src` below that, or in a package of either.
    pub(crate) fn detect(source: &Source, work: &str, packages: &Packages) -> Result<Option<Self>, Error> {
        let server = match ASGI.iter().any(|name| packages.has(name)) {
            true => Server::Uvicorn,
            false if packages.has("flask") => Server::Gunicorn,
            false => return Ok(None),
        };
        let said = flask_app(source, work)?;
        for (module, path) in said.into_iter().chain(candidates(source, work)) {
            let Some(text) = source.text(&path)? else { continue };
            if let Some(object) = object_in(&text) {
                return Ok(Some(Self { object: format!("{module}:{object}"), server }));
            }
        }
        Ok(None)
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

/// The object or factory that a module has at its top level.
fn object_in(text: &str) -> Option<String> {
    let is_assigned = |name: &str| {
        text.lines().any(|line| {
            line.strip_prefix(name).is_some_and(|rest| {
                let rest = rest.trim_start();
                rest.starts_with('=') && !rest.starts_with("==")
                    || rest.starts_with(':') && rest.contains('=')
            })
        })
    };
    let is_imported = |name: &str| {
        let import = |line: &str| line.starts_with("from ") && line.ends_with(&format!(" import {name}"));
        text.lines().any(|line| import(line.trim_end()))
    };
    let is_made = |name: &str| {
        text.lines()
            .any(|line| line.strip_prefix("def ").is_some_and(|rest| rest.starts_with(&format!("{name}("))))
    };
    if let Some(name) = OBJECTS.iter().find(|name| is_assigned(name)) {
        return Some((*name).to_owned());
    }
    let factory = FACTORIES.iter().find(|name| is_made(name));
    if let Some(name) = factory {
        return Some(format!("{name}()"));
    }
    // `from shop import app` in a wsgi.py.
    OBJECTS.iter().find(|name| is_imported(name)).map(|name| (*name).to_owned())
}
