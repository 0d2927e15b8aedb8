//! From files to what runs.

use tandem_blobs::BlobStore;
use tandem_types::{ProcessType, Span};

use super::*;

pub(super) fn read(files: &[(&str, &str)]) -> Result<Recipe, Error> {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    Recipe::read(&Source::of(&store, files), None)
}

pub(super) fn code(files: &[(&str, &str)]) -> String {
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
    let mono =
        read(&[("api/requirements.txt", "flask"), ("web/package.json", "{}")]).unwrap_err().to_problem();
    assert_eq!(mono.detail, "apps seem to be in: api, web");
    assert_eq!(code(&[("app.py", ""), PINNED]), "no_recipe");
    assert_eq!(code(&[MANAGE, ("requirements.txt", "django==5.2\n")]), "no_web_command");
    assert_eq!(code(&[("tandem.toml", "app = \"x\"\n")]), "no_web_command");
    assert_eq!(code(&[MANAGE, WSGI]), "no_dependencies");
    assert_eq!(code(&[("tandem.toml", "[processes.worker]\n")]), "no_command");
    assert_eq!(code(&[("Procfile", "web\n")]), "app_file_invalid");
    assert_eq!(code(&[("Procfile", "web: x\n"), ("poetry.lock", "")]), "recipe_unsupported");
}

#[test]
fn a_process_that_is_called_otherwise_here_is_noted() {
    let recipe = read(&[("Procfile", "web: a\ncelery_worker: b\n")]).unwrap();
    assert!(recipe.spec.processes.contains_key(&"celery-worker".parse().unwrap()));
    assert!(recipe.notes.iter().any(|note| note.contains("is called celery-worker")), "{:?}", recipe.notes);
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

fn web(recipe: &Recipe) -> &str {
    &recipe.spec.processes[&ProcessType::web()].command
}

#[test]
fn flask_and_fastapi_apps_need_no_file_of_tandems() {
    const FLASK: (&str, &str) = ("requirements.txt", "flask==3.1\n");
    const FASTAPI: (&str, &str) = ("requirements.txt", "fastapi==0.121\n");
    let made = "from flask import Flask\napp = Flask(__name__)\n";
    for (files, command) in [
        (vec![FLASK, ("app.py", made)], "gunicorn app:app --bind 127.0.0.1:$PORT"),
        (
            vec![FLASK, ("shop/__init__.py", "def create_app(config=None):\n")],
            "gunicorn 'shop:create_app()' --bind 127.0.0.1:$PORT",
        ),
        (
            vec![FLASK, ("wsgi.py", "from shop import app\n"), ("shop/__init__.py", made)],
            "gunicorn wsgi:app --bind 127.0.0.1:$PORT",
        ),
        (
            vec![
                FLASK,
                ("shop/api.py", "api = Blueprint('api', __name__)\n"),
                ("shop/app.py", "def create_app(config):\n"),
                ("shop/__init__.py", "def create_app():\n"),
            ],
            "gunicorn 'shop:create_app()' --bind 127.0.0.1:$PORT",
        ),
        (
            vec![FLASK, ("odd.py", made), (".flaskenv", "FLASK_APP=odd.py\n")],
            "gunicorn odd:app --bind 127.0.0.1:$PORT",
        ),
        (
            vec![FASTAPI, ("main.py", "app: FastAPI = FastAPI()\n")],
            "uvicorn main:app --host 127.0.0.1 --port $PORT",
        ),
        (
            vec![FASTAPI, ("app/main.py", "app = FastAPI(\n)\n"), ("app/__init__.py", "")],
            "uvicorn app.main:app --host 127.0.0.1 --port $PORT",
        ),
        (
            vec![FASTAPI, ("src/shop/main.py", "def create_app():\n")],
            "uvicorn --factory shop.main:create_app --host 127.0.0.1 --port $PORT",
        ),
        (
            vec![("requirements.txt", "flask\nwaitress\n"), ("app.py", made)],
            "waitress-serve --listen=127.0.0.1:$PORT app:app",
        ),
    ] {
        let recipe = read(&files).unwrap();
        assert_eq!(web(&recipe), command);
        let is_added = !command.starts_with("waitress");
        assert_eq!(recipe.server.is_some(), is_added, "{command}");
        let is_guessed = !files.iter().any(|(name, _)| *name == ".flaskenv");
        let told = usize::from(is_added) + usize::from(is_guessed);
        assert_eq!(recipe.notes.len(), told, "{:?}", recipe.notes);
    }
}

#[test]
fn an_app_object_that_was_found_is_told_with_the_key_that_names_another() {
    const FLASK: (&str, &str) = ("requirements.txt", "flask==3.1\n");
    let made = "from flask import Flask\napp = Flask(__name__)\n";
    let own = read(&[("requirements.txt", "flask==3.1\ngunicorn==23.0\n"), ("app.py", made)]).unwrap();
    assert_eq!(own.server, None);
    assert_eq!(
        own.notes,
        [
            "app:app is served, which was found in app.py; `[processes.web] command` in tandem.toml names another"
        ]
    );
    assert!(own.spec.smoke.unwrap().contains("import_module('app')"));
    assert_eq!(code(&[FLASK, ("app.py", "x = 1\n")]), "no_recipe");
    assert_eq!(code(&[FLASK, ("manage.py", "from flask.cli import FlaskGroup\n")]), "no_recipe");
}

#[test]
fn a_server_is_added_only_for_the_command_that_needs_it() {
    let bare = ("requirements.txt", "django==5.2\n");
    let recipe = read(&[MANAGE, WSGI, bare]).unwrap();
    assert_eq!(recipe.server, Some(Server::Gunicorn));
    assert!(recipe.notes[0].starts_with("gunicorn 23.0.0 serves this app"), "{:?}", recipe.notes);
    let other = ("requirements.txt", "django==5.2\nuWSGI==2.0.31\n");
    let recipe = read(&[MANAGE, WSGI, other]).unwrap();
    assert!(recipe.notes[0].contains("nothing says how uwsgi is to be started"), "{:?}", recipe.notes);
    let own = ("tandem.toml", "[processes.web]\ncommand = \"python serve.py\"\n");
    assert_eq!(read(&[MANAGE, WSGI, bare, own]).unwrap().server, None);
    let procfile = ("Procfile", "web: gunicorn shop.wsgi\n");
    assert_eq!(read(&[MANAGE, WSGI, bare, procfile]).unwrap().server, None, "a Procfile says what is used");
}

#[test]
fn commands_start_where_the_app_is() {
    let manage = ("site/manage.py", MANAGE.1);
    let below = [manage, ("site/shop/wsgi.py", ""), PINNED];
    let recipe = read(&below).unwrap();
    assert_eq!(recipe.spec.root.as_deref(), Some("site"));
    assert_eq!(web(&recipe), "gunicorn shop.wsgi --bind 127.0.0.1:$PORT");
    assert_eq!(recipe.spec.release.as_ref().unwrap().command, "python manage.py migrate --noinput");
    assert!(!recipe.spec.environment.contains_key("PYTHONPATH"), "it is the working folder");
    assert!(recipe.notes[0].contains("commands run in site"), "{:?}", recipe.notes);

    let procfile = ("Procfile", "web: gunicorn shop.wsgi\n");
    let recipe = read(&[below[0], below[1], below[2], procfile]).unwrap();
    assert_eq!(recipe.spec.root, None, "where the Procfile is");
    assert_eq!(recipe.spec.environment["PYTHONPATH"], "/app/site");
    assert_eq!(recipe.spec.release.as_ref().unwrap().command, "python site/manage.py migrate --noinput");

    let said = ("tandem.toml", "root = \"site\"\n[static]\n\"/s/\" = \"site/out\"\n");
    let recipe = read(&[below[0], below[1], below[2], said]).unwrap();
    assert_eq!((recipe.spec.root.as_deref(), recipe.notes.len()), (Some("site"), 0));
    assert_eq!(recipe.spec.static_folders["/s/"], "site/out", "relative to the file");
    let wrong = ("tandem.toml", "root = \"sites\"\n");
    let problem = read(&[below[0], below[1], below[2], wrong]).unwrap_err().to_problem();
    assert_eq!(
        (problem.code.as_str(), problem.detail.as_str()),
        ("root_missing", "apps seem to be in: site")
    );
}

#[test]
fn one_of_several_apps_is_named_by_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    let files = [
        (
            "api/tandem.toml",
            "[static]\n\"/s/\" = \"out\"\n[volumes]\nmedia = \"media\"\n[processes.worker]\ncommand = \"celery\"\n",
        ),
        ("api/manage.py", MANAGE.1),
        ("api/shop/wsgi.py", ""),
        ("web/manage.py", MANAGE.1),
        ("web/shop/wsgi.py", ""),
        ("requirements.txt", PINNED.1),
    ];
    let source = Source::of(&store, &files);
    let problem = Recipe::read(&source, None).unwrap_err().to_problem();
    assert_eq!(problem.code, "several_apps", "{problem:?}");
    assert!(problem.hint.contains("tandem deploy --root api"), "{problem:?}");
    let api = Recipe::read(&source, Some("api/")).unwrap();
    assert_eq!((api.spec.root.as_deref(), api.work.as_str()), (Some("api"), "api"));
    assert_eq!(api.spec.processes.len(), 2);
    assert_eq!(api.spec.static_folders["/s/"], "api/out");
    assert_eq!(api.spec.volumes["media"], "/app/api/media");
    let web = Recipe::read(&source, Some("web")).unwrap();
    assert_eq!((web.spec.root.as_deref(), web.spec.processes.len()), (Some("web"), 1));
    assert_eq!(Recipe::read(&source, Some("nope")).unwrap_err().to_problem().code, "root_missing");
    assert_eq!(Recipe::read(&source, Some("../etc")).unwrap_err().to_problem().code, "root_missing");
}

#[test]
fn node_is_used_where_a_command_is_nodes() {
    let package = (
        "package.json",
        r#"{"scripts": {"start": "node x.js", "build": "vite"}, "dependencies": {"a": "1"}}"#,
    );
    let lock = ("package-lock.json", "{}");
    let app = read(&[package, lock]).unwrap();
    assert_eq!(web(&app), "npm start");
    let plan = app.node.as_ref().unwrap();
    assert!(plan.at_run_time);
    assert_eq!(app.commands, ["npm run build"]);
    assert!(app.notes[0].contains("npm run build"), "{:?}", app.notes);
    assert_eq!(app.spec.path, ["/app/node_modules/.bin"]);
    assert_eq!(app.spec.environment["NODE_ENV"], "production");
    assert!(app.mount_points().contains("node_modules"));

    let django = read(&[package, lock, MANAGE, WSGI, PINNED]).unwrap();
    assert_eq!((&django.node, django.mount_points().len()), (&None, 1), "nothing of Django's uses it");

    let commands = |commands: &str| {
        let file = format!("[build]\ncommands = {commands}\n");
        read(&[package, lock, MANAGE, WSGI, PINNED, ("tandem.toml", &file)]).unwrap()
    };
    let built = commands("[\"npm ci\", \"npm run build\"]");
    assert_eq!(built.commands, ["npm run build"], "npm ci is a kept part");
    let plan = built.node.unwrap();
    assert!(!plan.at_run_time && matches!(plan.install, Install::Part(_)));
    let own = commands("[\"npm ci --omit=dev && npm run build\"]");
    assert_eq!(own.node.unwrap().install, Install::Nothing, "its author does it");
    let linked = ("package.json", r#"{"workspaces": ["x"], "scripts": {"start": "node x.js"}}"#);
    let whole = read(&[linked, lock]).unwrap();
    assert_eq!(
        whole.commands,
        ["npm ci --include=dev --no-audit --no-fund"],
        "links lead out of node_modules"
    );
    let yarn = [package, ("yarn.lock", "")];
    assert_eq!(code(&yarn), "recipe_unsupported");
}

#[test]
fn a_procfile_of_several_commands_is_taken_as_it_is() {
    let line = "flask db upgrade; gunicorn shop:app --bind :$PORT && true";
    let procfile =
        format!("release: yes \"yes\" | python manage.py migrate\nweb: {line}\nworker: rq worker\n");
    let recipe =
        read(&[("Procfile", &procfile), ("requirements.txt", "flask==3\n"), ("shop.py", "app = 1\n")])
            .unwrap();
    assert_eq!(web(&recipe), line);
    assert_eq!(recipe.spec.release.unwrap().command, "yes \"yes\" | python manage.py migrate");
    assert!(recipe.spec.smoke.unwrap().contains("import_module('shop')"));
}

#[test]
fn a_project_that_is_built_has_its_packages_on_the_path() {
    const BUILT: &str = "[project]\nname = \"shop\"\n[build-system]\nrequires = []\n";
    let path = |files: &[(&str, &str)]| {
        let common = [("requirements.txt", "idna==3.11\n"), ("Procfile", "web: python scripts/serve.py\n")];
        let recipe = read(&[&common[..], files].concat()).unwrap();
        recipe.spec.environment.get("PYTHONPATH").cloned()
    };
    let (built, package) = (("pyproject.toml", BUILT), ("shop/__init__.py", ""));
    assert_eq!(path(&[built, package]).as_deref(), Some("/app"));
    assert_eq!(path(&[built, ("src/shop/__init__.py", ""), package]).as_deref(), Some("/app/src"));
    assert_eq!(path(&[built]), None, "nothing to be found there");
    let settings = ("pyproject.toml", "[project]\nname = \"shop\"\n");
    assert_eq!(path(&[settings, package]), None, "nobody installs it");
}

#[test]
fn a_project_above_the_working_folder_is_on_the_path_as_well() {
    let file = ("tandem.toml", "root = \"site\"\n[processes.web]\ncommand = \"python serve.py\"\n");
    let project = ("pyproject.toml", "[project]\nname = \"shop\"\n[build-system]\n");
    let files = [file, project, ("shop/__init__.py", ""), ("site/serve.py", "")];
    assert_eq!(read(&files).unwrap().spec.environment["PYTHONPATH"], "/app");
}
