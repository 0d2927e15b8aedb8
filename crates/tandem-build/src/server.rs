//! The web server that Tandem adds where an app's dependencies have none.
//!
//! Its version is that of Tandem's own release, so that a build on another day is the same. It comes after the app's
//! dependencies and changes none of them; where one of them brought it along, that one stays.

/// A web server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// For WSGI: Django, Flask.
    Gunicorn,
    /// For ASGI: FastAPI, Starlette, and Django where it is ASGI only.
    Uvicorn,
}

impl Server {
    /// The package, and the program in it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gunicorn => "gunicorn",
            Self::Uvicorn => "uvicorn",
        }
    }

    /// What is installed. The oldest Python that each supports is 3.9 or older.
    pub(crate) fn requirement(self) -> &'static str {
        match self {
            Self::Gunicorn => "gunicorn==23.0.0",
            Self::Uvicorn => "uvicorn==0.38.0",
        }
    }

    /// What is installed with it, unless it is there in another version. Without a library for websockets uvicorn refuses
    /// them, which no test of an app's pages would show.
    pub(crate) fn extras(self) -> &'static [&'static str] {
        match self {
            Self::Gunicorn => &[],
            Self::Uvicorn => &["websockets==15.0.1"],
        }
    }

    /// A command that serves an app: `shop.wsgi`, `main:app`, `'shop:create_app()'`.
    pub(crate) fn command(self, app: &str) -> String {
        let factory = app.strip_suffix("()");
        match (self, factory) {
            (Self::Gunicorn, None) => format!("gunicorn {app} --bind 127.0.0.1:$PORT"),
            (Self::Gunicorn, Some(_)) => format!("gunicorn '{app}' --bind 127.0.0.1:$PORT"),
            (Self::Uvicorn, None) => format!("uvicorn {app} --host 127.0.0.1 --port $PORT"),
            (Self::Uvicorn, Some(app)) => format!("uvicorn --factory {app} --host 127.0.0.1 --port $PORT"),
        }
    }

    /// What a build tells of it; `other` is a server among the dependencies that only a written command starts.
    pub(crate) fn note(self, other: Option<&str>) -> String {
        let requirement = self.requirement().replacen("==", " ", 1);
        let why = match other {
            Some(other) => format!("nothing says how {other} is to be started"),
            None => "its dependencies name no web server".to_owned(),
        };
        format!(
            "{requirement} serves this app, since {why}; `[processes.web] command` in tandem.toml names another"
        )
    }
}
