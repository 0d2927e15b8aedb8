//! What `manage.py` and the files around it say of a Django project, without running it.

use crate::requirements::Packages;
use crate::source::Source;

/// A Django project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Django {
    /// Settings module that `manage.py` uses unless told otherwise.
    pub(crate) settings: Option<String>,
    /// Module with the WSGI application.
    wsgi: Option<String>,
    /// Module with the ASGI application.
    asgi: Option<String>,
}

/// Release phase of a Django project unless another is given.
pub(crate) const MIGRATE: &str = "python manage.py migrate --noinput";

impl Django {
    /// Reads a project from its source; none where there is no `manage.py` at its root.
    pub(crate) fn detect(source: &Source) -> Result<Option<Self>, crate::Error> {
        let Some(manage) = source.text("manage.py")? else { return Ok(None) };
        let settings = settings_module(&manage);
        let entry = |name: &str| entry_module(source, settings.as_deref(), name);
        Ok(Some(Self { wsgi: entry("wsgi"), asgi: entry("asgi"), settings }))
    }

    /// A command that serves it with the server that is among its dependencies; none where there is no such server.
    pub(crate) fn web_command(&self, packages: &Packages) -> Option<String> {
        let wsgi = |server: &str| self.wsgi.as_ref().filter(|_| packages.has(server));
        let asgi = |server: &str| self.asgi.as_ref().filter(|_| packages.has(server));
        if let Some(module) = wsgi("gunicorn") {
            return Some(format!("gunicorn {module} --bind 127.0.0.1:$PORT"));
        }
        if let Some(module) = asgi("uvicorn") {
            return Some(format!("uvicorn {module}:application --host 127.0.0.1 --port $PORT"));
        }
        if let Some(module) = asgi("daphne") {
            return Some(format!("daphne -b 127.0.0.1 -p $PORT {module}:application"));
        }
        let module = wsgi("waitress")?;
        Some(format!("waitress-serve --listen=127.0.0.1:$PORT {module}:application"))
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

/// The default in `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")`.
fn settings_module(manage: &str) -> Option<String> {
    let rest = manage.split_once("DJANGO_SETTINGS_MODULE")?.1;
    let rest = rest.trim_start_matches(['"', '\'', ']']).trim_start();
    let rest = rest.strip_prefix([',', '='])?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let module = rest[1..].split(quote).next()?;
    is_module(module).then(|| module.to_owned())
}

/// `shop.wsgi`: beside the settings or in a package above them, else the only one that there is.
fn entry_module(source: &Source, settings: Option<&str>, name: &str) -> Option<String> {
    let mut package = settings.unwrap_or_default();
    while let Some((parent, _)) = package.rsplit_once('.') {
        package = parent;
        if source.has(&format!("{}/{name}.py", package.replace('.', "/"))) {
            return Some(format!("{package}.{name}"));
        }
    }
    let file = format!("/{name}.py");
    let mut all = source.files.keys().filter(|path| path.ends_with(&file));
    let module = all.next()?.strip_suffix(".py")?.replace('/', ".");
    (all.next().is_none() && is_module(&module)).then_some(module)
}

/// Whether a text is a dotted name, safe within quotes of a shell and of Python.
pub(crate) fn is_module(text: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    !text.is_empty() && text.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use tandem_blobs::BlobStore;

    use super::*;

    fn detect(files: &[(&str, &str)]) -> Django {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        Django::detect(&Source::of(&store, files)).unwrap().unwrap()
    }

    const MANAGE: &str = "import os\nos.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"shop.settings\")\n";

    #[test]
    fn settings_and_entry_points_are_found_where_startproject_puts_them() {
        let django =
            detect(&[("manage.py", MANAGE), ("shop/wsgi.py", ""), ("shop/asgi.py", ""), ("x/wsgi.py", "")]);
        assert_eq!(django.settings.as_deref(), Some("shop.settings"));
        let packages = Packages::of(&["django", "gunicorn", "uvicorn"]);
        assert_eq!(django.web_command(&packages).unwrap(), "gunicorn shop.wsgi --bind 127.0.0.1:$PORT");
        let smoke = django.smoke_command().unwrap();
        assert!(smoke.contains("importlib.import_module('shop.wsgi')"), "{smoke}");
        assert_eq!(django.web_command(&Packages::of(&["django"])), None);
        let uvicorn = django.web_command(&Packages::of(&["uvicorn"])).unwrap();
        assert_eq!(uvicorn, "uvicorn shop.asgi:application --host 127.0.0.1 --port $PORT");
    }

    #[test]
    fn settings_may_be_a_package_and_written_in_other_ways() {
        for (manage, settings) in [
            (
                "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings.production')",
                "config.settings.production",
            ),
            (
                "os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings.production'",
                "config.settings.production",
            ),
            (
                "os.environ.setdefault(\n    \"DJANGO_SETTINGS_MODULE\",\n    \"config.settings.production\",\n)",
                "config.settings.production",
            ),
        ] {
            let django = detect(&[("manage.py", manage), ("config/wsgi.py", ""), ("other/wsgi.py", "")]);
            assert_eq!(django.settings.as_deref(), Some(settings), "{manage}");
            assert_eq!(django.wsgi.as_deref(), Some("config.wsgi"));
        }
        let odd = detect(&[("manage.py", "DJANGO_SETTINGS_MODULE = pick()"), ("one/wsgi.py", "")]);
        assert_eq!((odd.settings.as_deref(), odd.wsgi.as_deref()), (None, Some("one.wsgi")));
        let hostile = "setdefault(\"DJANGO_SETTINGS_MODULE\", \"x'; reboot; '\")";
        assert_eq!(detect(&[("manage.py", hostile)]).settings, None);
    }
}
