//! From the files of a project to how it runs.

use tandem_blobs::BlobStore;

use super::*;

fn detect(files: &[(&str, &str)]) -> Django {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    Django::detect(&Source::of(&store, files), "", None).unwrap().unwrap()
}

const MANAGE: &str = "import os\nos.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"shop.settings\")\n";

#[test]
fn settings_and_entry_points_are_found_where_startproject_puts_them() {
    let django =
        detect(&[("manage.py", MANAGE), ("shop/wsgi.py", ""), ("shop/asgi.py", ""), ("x/wsgi.py", "")]);
    assert_eq!(django.settings.as_deref(), Some("shop.settings"));
    let packages = Packages::of(&["django", "gunicorn", "uvicorn"]);
    assert_eq!(
        django.web_command(&packages),
        Some(("gunicorn shop.wsgi --bind 127.0.0.1:$PORT".to_owned(), None))
    );
    let smoke = django.smoke_command().unwrap();
    assert!(smoke.contains("importlib.import_module('shop.wsgi')"), "{smoke}");
    let added = django.web_command(&Packages::of(&["django"])).unwrap();
    assert_eq!(added.1, Some(Server::Gunicorn));
    let only_asgi = detect(&[("manage.py", MANAGE), ("shop/asgi.py", "")]);
    assert_eq!(only_asgi.web_command(&Packages::of(&["django"])).unwrap().1, Some(Server::Uvicorn));
    let uvicorn = django.web_command(&Packages::of(&["uvicorn"])).unwrap();
    assert_eq!(uvicorn.0, "uvicorn shop.asgi:application --host 127.0.0.1 --port $PORT");
}

#[test]
fn settings_may_be_a_package_and_written_in_other_ways() {
    for (manage, settings) in [
        (
            "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings.production')",
            "config.settings.production",
        ),
        ("os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings.production'", "config.settings.production"),
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

#[test]
fn servers_use_what_the_entry_point_names_and_production_where_it_lies_beside_development() {
    let wsgi = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings.prod')";
    let dev = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings.dev')";
    let files = |manage, wsgi| [("manage.py", manage), ("shop/wsgi.py", wsgi), ("shop/settings/prod.py", "")];
    for (manage, wsgi, settings, note) in [
        (
            dev,
            wsgi,
            "shop.settings.prod",
            Some("settings are shop.settings.prod, which shop.wsgi names, and not shop.settings.dev"),
        ),
        (wsgi, wsgi, "shop.settings.prod", None),
        (
            dev,
            dev,
            "shop.settings.prod",
            Some("settings are shop.settings.prod, since shop.settings.dev is for development"),
        ),
        (dev, "", "shop.settings.prod", Some("since shop.settings.dev is for development")),
    ] {
        let django = detect(&files(manage, wsgi));
        assert_eq!(django.settings.as_deref(), Some(settings));
        match note {
            Some(note) => assert!(
                django.notes[0].contains(note) && django.notes[0].contains("[build] settings"),
                "{:?}",
                django.notes
            ),
            None => assert_eq!(django.notes, [] as [&str; 0]),
        }
    }
    let alone = detect(&[("manage.py", dev), ("shop/wsgi.py", dev), ("shop/settings/dev.py", "")]);
    assert_eq!(alone.settings.as_deref(), Some("shop.settings.dev"), "there is no other");
    let package = [
        ("manage.py", MANAGE),
        (
            "shop/settings/__init__.py",
            "# pick\ntry:\n    from .dev import *\nexcept ImportError:\n    from .prod import *\n",
        ),
        ("shop/settings/prod.py", ""),
    ];
    assert_eq!(
        detect(&package).settings.as_deref(),
        Some("shop.settings.prod"),
        "a package that imports development"
    );
    let plain = [
        ("manage.py", MANAGE),
        ("shop/settings/__init__.py", "from .base import *\n"),
        ("shop/settings/prod.py", ""),
    ];
    assert_eq!(detect(&plain).settings.as_deref(), Some("shop.settings"));
}

#[test]
fn what_tandem_toml_names_wins_and_nothing_at_all_is_told_with_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    let silent = "from django.core.management import execute_from_command_line\n";
    let files =
        [("manage.py", silent), ("x/wsgi.py", ""), ("x/settings/base.py", ""), ("x/settings/prod.py", "")];
    let source = Source::of(&store, &files);
    let django = Django::detect(&source, "", Some("x.settings.prod")).unwrap().unwrap();
    assert_eq!(
        (django.settings.as_deref(), django.wsgi.as_deref()),
        (Some("x.settings.prod"), Some("x.wsgi"))
    );
    let problem = Django::detect(&source, "", None).unwrap_err().to_problem();
    assert_eq!(
        (problem.code.as_str(), problem.detail.as_str()),
        ("no_settings", "there is: x.settings.base, x.settings.prod")
    );
    let beside = [("manage.py", silent), ("x/wsgi.py", ""), ("x/settings.py", "")];
    assert_eq!(detect(&beside).settings.as_deref(), Some("x.settings"));
}

#[test]
fn a_project_below_is_found_and_its_paths_are_those_of_the_source() {
    let manage = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\nsys.path.insert(0, os.path.join(BASE_DIR, 'apps'))\n";
    let files = [
        ("src/site/manage.py", manage),
        ("src/site/shop/wsgi.py", ""),
        ("src/site/apps/blog/__init__.py", ""),
        ("a/b/c/manage.py", manage),
    ];
    let django = detect(&files);
    assert_eq!((django.folder.as_str(), django.wsgi.as_deref()), ("src/site", Some("shop.wsgi")));
    assert_eq!(django.migrate(""), "python src/site/manage.py migrate --noinput");
    assert_eq!(django.migrate("src"), "python site/manage.py migrate --noinput");
    assert_eq!(django.migrate("src/site"), "python manage.py migrate --noinput");
    assert_eq!(django.paths.into_iter().collect::<Vec<_>>(), ["src/site/apps"]);
}
