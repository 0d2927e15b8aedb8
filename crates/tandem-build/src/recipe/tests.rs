//! From files to what runs.

use tandem_blobs::BlobStore;
use tandem_types::Span;

use super::*;

fn read(files: &[(&str, &str)]) -> Result<Recipe, Error> {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    Recipe::read(&Source::of(&store, files))
}

fn code(files: &[(&str, &str)]) -> String {
    read(files).unwrap_err().to_problem().code
}

const MANAGE: (&str, &str) =
    ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')");
const WSGI: (&str, &str) = ("shop/wsgi.py", "");
const PINNED: (&str, &str) = ("requirements.txt", "django==5.2\ngunicorn==23.0\n");

#[test]
fn a_django_project_needs_no_file_of_tandems() {
    let recipe = read(&[MANAGE, WSGI, PINNED]).unwrap();
    let web = &recipe.spec.processes[&ProcessType::web()];
    assert_eq!(web.command, "gunicorn shop.wsgi --bind 127.0.0.1:$PORT");
    assert_eq!(recipe.spec.release.as_ref().unwrap().command, "python manage.py migrate --noinput");
    assert_eq!(recipe.spec.path, ["/app/.venv/bin"]);
    assert_eq!(recipe.spec.environment["DJANGO_SETTINGS_MODULE"], "shop.settings");
    assert_eq!(recipe.spec.environment["VIRTUAL_ENV"], "/app/.venv");
    assert!(recipe.spec.smoke.unwrap().contains("shop.wsgi"));
    assert_eq!(recipe.warnings, [] as [&str; 0]);
}

#[test]
fn what_people_write_wins_over_what_is_detected() {
    let procfile = ("Procfile", "web: gunicorn shop.wsgi -b :$PORT\nworker: celery\nrelease: ./prepare\n");
    let file = (
        "tandem.toml",
        "[processes.web]\nhealth = \"/up\"\ninstances = 3\n[processes.worker]\nstop_timeout = \"5m\"\n\
         [processes.clock]\ncommand = \"tick\"\n[release]\ntimeout = \"1m\"\n",
    );
    let recipe = read(&[MANAGE, WSGI, PINNED, procfile, file]).unwrap();
    let names: Vec<_> = recipe.spec.processes.keys().map(ProcessType::as_str).collect();
    assert_eq!(names, ["clock", "web", "worker"]);
    let web = &recipe.spec.processes[&ProcessType::web()];
    assert_eq!(
        (web.command.as_str(), web.health.path.as_str(), web.instances),
        ("gunicorn shop.wsgi -b :$PORT", "/up", 3)
    );
    assert_eq!(recipe.spec.processes[&"worker".parse().unwrap()].stop_timeout, Span::minutes(5));
    assert!(recipe.spec.processes[&"clock".parse().unwrap()].singleton);
    let release = recipe.spec.release.unwrap();
    assert_eq!((release.command.as_str(), release.timeout), ("./prepare", Span::minutes(1)));

    let no_release = ("tandem.toml", "[release]\ncommand = \"\"\n");
    assert_eq!(read(&[MANAGE, WSGI, PINNED, no_release]).unwrap().spec.release, None);
    let worker_only = ("Procfile", "worker: celery\n");
    let names: Vec<_> =
        read(&[MANAGE, WSGI, PINNED, worker_only]).unwrap().spec.processes.into_keys().collect();
    assert_eq!(names, ["worker".parse().unwrap()]);
}

#[test]
fn a_source_that_nothing_describes_is_refused_with_the_next_step() {
    assert_eq!(code(&[]), "no_recipe");
    assert_eq!(code(&[("app.py", ""), PINNED]), "no_recipe");
    assert_eq!(code(&[("tandem.toml", "app = \"x\"\n")]), "no_web_command");
    assert_eq!(code(&[MANAGE, WSGI]), "no_dependencies");
    assert_eq!(code(&[MANAGE, WSGI, ("requirements.txt", "django==5.2\n")]), "no_web_command");
    assert_eq!(code(&[("tandem.toml", "[processes.worker]\n")]), "no_command");
    assert_eq!(code(&[("Procfile", "web\n")]), "app_file_invalid");
    assert_eq!(code(&[("Procfile", "web: x\n"), ("poetry.lock", "")]), "recipe_unsupported");
}

#[test]
fn a_procfile_alone_is_enough_for_any_program() {
    let recipe = read(&[("Procfile", "web: ./serve --port $PORT\n"), ("serve", "")]).unwrap();
    assert_eq!(recipe.spec.smoke, None);
    assert!(recipe.spec.path.is_empty() && recipe.spec.environment.is_empty());
    assert!(recipe.mount_points().is_empty());
}

#[test]
fn the_module_that_a_server_serves_is_imported_as_smoke_check() {
    let smoke = |command: &str| {
        let procfile = format!("web: {command}\n");
        let files = [("Procfile", procfile.as_str()), PINNED, ("shop/__init__.py", ""), ("src/api.py", "")];
        read(&files).unwrap().spec.smoke
    };
    assert!(
        smoke("gunicorn -w 2 -c gunicorn.conf.py shop:app --bind :$PORT")
            .unwrap()
            .contains("import_module('shop')")
    );
    assert!(smoke(".venv/bin/uvicorn 'api:app' --port $PORT").unwrap().contains("import_module('api')"));
    assert_eq!(smoke("gunicorn elsewhere:app"), None);
    assert_eq!(smoke("python shop.py"), None);
}

#[test]
fn folders_to_mount_on_are_named() {
    let file = ("tandem.toml", "[volumes]\ndata = \"/data\"\nmedia = \"/app/media\"\n");
    let points: Vec<_> = read(&[MANAGE, WSGI, PINNED, file]).unwrap().mount_points().into_iter().collect();
    assert_eq!(points, [".venv", "media"]);
}

#[test]
fn the_wanted_python_is_read_from_where_tools_write_it() {
    let wanted = |files: &[(&str, &str)]| {
        let procfile = ("Procfile", "web: x\n");
        read(&[&[procfile], files].concat()).unwrap().python
    };
    let project = ("pyproject.toml", "[project]\nname = \"x\"\nrequires-python = \">=3.10\"\n");
    let by = |files: &[(&str, &str)]| wanted(files).map(|asked| asked.by);
    assert_eq!(by(&[project]).as_deref(), Some("requires-python in pyproject.toml"));
    assert_eq!(by(&[project, (".python-version", "# ours\n3.12.4\n")]).as_deref(), Some(".python-version"));
    assert_eq!(by(&[(".python-version", "pypy\n")]), None);
}

#[test]
fn loose_requirements_are_warned_of() {
    let loose = ("requirements.txt", "django\ngunicorn>=20\ncelery==5\n");
    let warnings = read(&[MANAGE, WSGI, loose]).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("django, gunicorn>=20 are not pinned"), "{}", warnings[0]);
}
