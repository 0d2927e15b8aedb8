//! A small Django project, built as its own author would deploy it.

use tandem_build::{interpreter_path, static_trees};
use tandem_types::ProcessType;
use tandem_types::build::Build;
use tandem_types::tree::Entry;

use crate::bench::Bench;

const SETTINGS: &str = r#"
import os
import subprocess
from pathlib import Path
try:
    # Some error reporters do so when they are set up.
    subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True)
except FileNotFoundError:
    pass
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("SECRET_KEY", "only for building")
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["django.contrib.staticfiles", "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin"]
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "collected"
STATICFILES_DIRS = [BASE_DIR / "assets"]
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}
"#;

pub(crate) fn write_project(bench: &Bench) {
    let manage = "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n\
        from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n";
    let style = format!("body {{ color: green }}\n{}", "/* a line that packs well */\n".repeat(100));
    for (path, text) in [
        ("manage.py", manage),
        ("shop/__init__.py", ""),
        ("shop/settings.py", SETTINGS),
        ("shop/urls.py", "from shop import views\nurlpatterns = []\n"),
        ("shop/views.py", "TEXT = 'one'\n"),
        (
            "shop/wsgi.py",
            "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        ),
        ("assets/shop.css", style.as_str()),
        (
            "requirements.txt",
            "django==5.2.8\nasgiref==3.10.0\nsqlparse==0.5.3\ngunicorn==23.0.0\npackaging==25.0\n",
        ),
    ] {
        bench.write(path, text);
    }
}

fn part<'b>(build: &'b Build, name: &str) -> &'b tandem_types::build::Subtree {
    build.subtrees.iter().find(|part| part.name == name).expect("builds of Django have all three parts")
}

#[tokio::test]
async fn a_changed_line_of_a_django_project_does_only_what_it_must() {
    let bench = Bench::new().await;
    write_project(&bench);
    let first = bench.build().await.unwrap();
    check_first(&bench, &first);

    bench.write("shop/views.py", "TEXT = 'two'\n");
    let second = bench.build().await.unwrap();
    assert_eq!(bench.note("dependencies"), "5 packages, cached");
    assert_eq!(bench.note("bytecode"), "1 file compiled, 5 cached");
    assert!(bench.note("static files").ends_with("files, cached"), "{}", bench.note("static files"));
    assert_ne!(first.digest, second.digest);
    assert_eq!(part(&first, "dependencies"), part(&second, "dependencies"));
    assert_eq!(part(&first, "static"), part(&second, "static"));

    bench.write("assets/shop.css", "body { color: blue }\n");
    let third = bench.build().await.unwrap();
    assert_ne!(part(&second, "static").tree, part(&third, "static").tree);

    let settings = SETTINGS
        .replace("os.environ.get(\"SECRET_KEY\", \"only for building\")", "os.environ[\"SECRET_KEY\"]");
    bench.write("shop/settings.py", &settings);
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "static_needs_config", "{problem:?}");
    assert!(problem.title.contains("SECRET_KEY") && problem.detail.contains("KeyError"), "{problem:?}");

    bench.write("shop/settings.py", &format!("{SETTINGS}DEBUG = True\n"));
    bench.write("shop/views.py", "def broken(:\n");
    let warned = bench.build().await.unwrap().warnings;
    assert!(warned[1].starts_with("shop/views.py:1: ") && warned[2].starts_with("DEBUG is on"), "{warned:?}");

    let as_begun = SETTINGS.replace("STATIC_ROOT = ", "NOWHERE = ");
    bench.write("shop/settings.py", &format!("{as_begun}DEBUG = True\n"));
    let begun = bench.build().await.unwrap();
    assert!(begun.warnings.iter().any(|warning| warning.starts_with("DEBUG is on")), "{:?}", begun.warnings);
    assert_eq!(begun.spec.static_folders["/static/"], "staticfiles", "collected all the same");
    assert!(begun.subtrees.iter().any(|part| part.mount == "/app/staticfiles" && part.files > 100));

    write_project(&bench);
    let again = bench.build().await.unwrap();
    assert_eq!(
        again.digest, first.digest,
        "back to the first source, collected anew, back to the first build"
    );
}

fn check_first(bench: &Bench, build: &Build) {
    assert_eq!(bench.note("dependencies"), "5 packages");
    assert_eq!(
        build.spec.processes[&ProcessType::web()].command,
        "gunicorn shop.wsgi --bind 127.0.0.1:$PORT"
    );
    assert_eq!(build.spec.static_folders["/static/"], "collected");
    assert_eq!(build.warnings, ["a.py is not committed"]);
    let mounts: Vec<_> = build.subtrees.iter().map(|part| part.mount.as_str()).collect();
    assert_eq!(mounts, ["/app", "/app/.venv", "/app/collected"]);
    assert!(bench.lines().iter().any(|line| line.contains("static files copied")), "{:?}", bench.lines());

    let at = |name: &str, path: &str| bench.store.lookup(&part(build, name).tree, path).unwrap();
    let tag = format!("cpython-3{}", interpreter_path(build).unwrap().rsplit_once("python3.").unwrap().1);
    assert!(matches!(at("app", &format!("shop/__pycache__/views.{tag}.pyc")), Some(Entry::File { .. })));
    assert!(matches!(at("app", ".venv"), Some(Entry::Folder { .. })), "the dependencies are mounted there");
    assert!(matches!(at("app", "collected"), Some(Entry::Folder { .. })));
    let python = Entry::Link { target: interpreter_path(build).unwrap().to_owned() };
    assert_eq!(at("dependencies", "bin/python"), Some(python));
    let statics = static_trees(build, &bench.store).unwrap()["/static/"];
    for name in ["shop.css", "shop.css.br", "shop.css.gz", "shop.css.zst", "staticfiles.json"] {
        assert!(matches!(bench.store.lookup(&statics, name).unwrap(), Some(Entry::File { .. })), "{name}");
    }
    for part in &build.subtrees {
        let summary = bench.store.summary(&part.tree).unwrap();
        assert_eq!((part.files, part.bytes), (summary.files, summary.bytes), "{}", part.name);
    }
}

#[tokio::test]
async fn what_only_a_committed_manifest_names_stays_in_it() {
    let bench = Bench::new().await;
    write_project(&bench);
    let manifest = r#"{"paths": {"made.css": "made.0123456789ab.css", "gone.css": "gone.0123456789ab.css", "shop.css": "shop.0123456789ab.css"}, "version": "1.1", "hash": "0123456789ab"}"#;
    bench.write("collected/staticfiles.json", manifest);
    bench.write("collected/made.css", "b {}");
    bench.write("collected/made.0123456789ab.css", "b {}");
    bench.write("collected/shop.0123456789ab.css", "of before");
    let build = bench.build().await.unwrap();
    let told = "kept in staticfiles.json: 1 file that is only in STATIC_ROOT, such as made.css";
    assert!(bench.lines().iter().any(|line| line.contains(told)), "{:?}", bench.lines());
    let statics = static_trees(&build, &bench.store).unwrap()["/static/"];
    let file = bench.store.lookup(&statics, "staticfiles.json").unwrap();
    let Some(Entry::File { digest, .. }) = file else { panic!("{file:?} is no file") };
    let written: serde_json::Value =
        serde_json::from_slice(&bench.store.read(&digest).unwrap()).expect("a manifest");
    assert_eq!(written["paths"]["made.css"], "made.0123456789ab.css");
    assert_eq!(written["paths"].get("gone.css"), None, "its file is not there");
    assert_ne!(written["paths"]["shop.css"], "shop.0123456789ab.css", "what is found counts");
    assert_ne!(written["hash"], "0123456789ab");
}

/// Its content, as it is served.
fn served(bench: &Bench, build: &Build, path: &str) -> String {
    let statics = static_trees(build, &bench.store).unwrap()["/static/"];
    let file = bench.store.lookup(&statics, path).unwrap();
    let Some(Entry::File { digest, .. }) = file else { panic!("{path} is no file: {file:?}") };
    String::from_utf8(bench.store.read(&digest).unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn what_is_committed_among_the_collected_files_never_hides_what_it_was_made_from() {
    let bench = Bench::new().await;
    write_project(&bench);
    let plain = SETTINGS.replace("ManifestStaticFilesStorage", "StaticFilesStorage");
    bench.write("shop/settings.py", &plain);
    bench.write("assets/shop.css", "new");
    bench.write("collected/shop.css", "old");
    bench.write("collected/made.css", "made elsewhere");
    let build = bench.build().await.unwrap();
    assert_eq!(served(&bench, &build, "shop.css"), "new");
    assert_eq!(served(&bench, &build, "made.css"), "made elsewhere");
    // An edit arrives, and one back to a content that was seen before.
    for text in ["newer", "old", "new"] {
        bench.write("assets/shop.css", text);
        let build = bench.build().await.unwrap();
        assert_eq!(served(&bench, &build, "shop.css"), text);
    }
}
