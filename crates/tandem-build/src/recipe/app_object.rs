//! The app object or factory that a Python module has, read from its text.
//!
//! A name says little: `api` is a blueprint as often as it is an app, and a factory may want arguments that nobody gives
//! it. A server that is pointed to the wrong one starts, and fails at the first request.

/// What it is called, in this order.
const OBJECTS: [&str; 3] = ["app", "application", "api"];
/// What makes one, in this order.
const FACTORIES: [&str; 2] = ["create_app", "make_app"];
/// Classes whose instances a server is given; a subclass mostly bears the name behind one of its own: `APIFlask`.
const CLASSES: [&str; 7] = ["Flask", "FlaskApp", "FastAPI", "Starlette", "Quart", "Litestar", "Sanic"];
/// What the names of functions begin with that make one: `create_app`, `get_application`.
const MAKERS: [&str; 6] = ["build", "create", "get", "init", "make", "new"];

/// The object or factory that a module has at its top level: `app`, `create_app()`.
pub(super) fn object_in(text: &str) -> Option<String> {
    if let Some(name) = OBJECTS.iter().find(|name| text.lines().any(|line| makes_app(line, name))) {
        return Some((*name).to_owned());
    }
    if let Some(name) = FACTORIES.iter().find(|name| is_factory(text, name)) {
        return Some(format!("{name}()"));
    }
    // `from shop import app` in a wsgi.py; what is called `api` there may be anything.
    let imported = OBJECTS[..2].iter().find(|name| text.lines().any(|line| imports(line, name)));
    imported.map(|name| (*name).to_owned())
}

/// Whether a line is `app = Flask(…)`, `app: FastAPI = FastAPI(…)` or `app = shop.create_app(…)`.
fn makes_app(line: &str, name: &str) -> bool {
    let Some(rest) = line.strip_prefix(name).map(str::trim_start) else { return false };
    let value = match rest.strip_prefix(':') {
        Some(rest) => rest.split_once('=').map(|(_, value)| value),
        None => rest.strip_prefix('='),
    };
    let Some((made_by, _)) = value.and_then(|value| value.split_once('(')) else { return false };
    let made_by = made_by.trim();
    if made_by.contains(|c: char| !(c.is_alphanumeric() || "._".contains(c))) {
        return false;
    }
    let made_by = made_by.rsplit('.').next().unwrap_or_default();
    let is_factory = made_by.contains("app") && MAKERS.iter().any(|verb| made_by.starts_with(verb));
    CLASSES.iter().any(|class| made_by.ends_with(class)) || is_factory
}

fn imports(line: &str, name: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim_end();
    line.starts_with("from ") && [" import ", " as "].iter().any(|by| line.ends_with(&format!("{by}{name}")))
}

/// Whether a module has a function of this name that can be called without arguments.
fn is_factory(text: &str, name: &str) -> bool {
    let begin = format!("def {name}(");
    let mut starts = text.match_indices(&begin).filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
    starts.next().is_some_and(|(at, _)| {
        let parameters = parameters(&text[at + begin.len()..]);
        parameters.iter().all(|one| one.contains('=') || one.starts_with('*') || one == "/")
    })
}

/// The parameters of a function, from behind its opening bracket; none of them is empty.
fn parameters(text: &str) -> Vec<String> {
    let (mut all, mut depth, mut quote, mut in_comment) = (vec![String::new()], 0, None, false);
    for c in text.chars() {
        match (c, quote) {
            ('\n', _) if in_comment => in_comment = false,
            _ if in_comment => continue,
            (c, Some(sign)) => quote = (c != sign).then_some(sign),
            ('#', None) => in_comment = true,
            ('"' | '\'', None) => quote = Some(c),
            ('(' | '[' | '{', None) => depth += 1,
            (')', None) if depth == 0 => break,
            (')' | ']' | '}', None) => depth -= 1,
            (',', None) if depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        if !in_comment && let Some(last) = all.last_mut() {
            last.push(c);
        }
    }
    all.into_iter().map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_server_can_be_given_counts() {
        for (text, object) in [
            ("app = Flask(__name__)\n", Some("app")),
            ("app: FastAPI = fastapi.FastAPI(\n", Some("app")),
            ("application=APIFlask(__name__)", Some("application")),
            ("from shop import create_app\napp = create_app('production')\n", Some("app")),
            ("application = shop.get_application()\n", Some("application")),
            ("app = get_settings()\n", None),
            ("api = FastAPI()\n", Some("api")),
            ("api = Blueprint('api', __name__)\n", None),
            ("app = Typer()\n", None),
            ("app = None\n", None),
            ("app == Flask()\n", None),
            ("apps = Flask()\n", None),
            ("    app = Flask(__name__)\n", None),
            ("from shop import app\n", Some("app")),
            ("from shop import app as application  # for servers\n", Some("application")),
            ("from shop.views import api\n", None),
        ] {
            assert_eq!(object_in(text).as_deref(), object, "{text:?}");
        }
    }

    #[test]
    fn a_factory_that_wants_arguments_is_none() {
        for (signature, is_one) in [
            ("def create_app():", true),
            ("def create_app(config=None) -> Flask:", true),
            ("def create_app(config: str = 'a,b)', *args, **kwargs):", true),
            ("def create_app(\n    config=Config,  # a, b\n    *,\n    debug=f(1, 2),\n):", true),
            ("def create_app(config):", false),
            ("def create_app(\n    config: Config,\n    debug=False,\n):", false),
            ("def create_app(a: dict[str, int] = {}, b: int):", false),
            ("    def create_app():", false),
            ("def create_apps():", false),
        ] {
            let text = format!("from flask import Flask\n\n{signature}\n    pass\n");
            assert_eq!(object_in(&text).is_some(), is_one, "{signature}");
        }
        assert_eq!(object_in("def make_app(x=1): pass").as_deref(), Some("make_app()"));
    }
}
