//! Sources as people lay them out: apps without a file of Tandem's, sites in subfolders, files that are never built.

use tandem_blobs::BlobStore;
use tandem_types::ProcessType;
use tandem_types::build::Build;
use tandem_types::tree::Entry;

use crate::bench::Bench;

pub(crate) fn part<'b>(build: &'b Build, name: &str) -> Option<&'b tandem_types::build::Subtree> {
    build.subtrees.iter().find(|part| part.name == name)
}

/// Whether a part of a build has a file.
pub(crate) fn has(store: &BlobStore, build: &Build, name: &str, path: &str) -> bool {
    let part = part(build, name).unwrap_or_else(|| panic!("there is no part {name}"));
    matches!(store.lookup(&part.tree, path).unwrap(), Some(Entry::File { .. }))
}

fn web(build: &Build) -> &str {
    &build.spec.processes[&ProcessType::web()].command
}

#[tokio::test]
async fn an_app_without_a_web_server_gets_one_that_changes_none_of_its_packages() {
    let bench = Bench::new().await;
    bench.write("app.py", "from flask import Flask\napp = Flask(__name__)\n");
    // The server would take a later one.
    bench.write("requirements.txt", "flask==3.1.2\npackaging==24.0\n");
    let build = bench.build().await.unwrap();
    assert_eq!(web(&build), "gunicorn app:app --bind 127.0.0.1:$PORT");
    assert!(has(&bench.store, &build, "dependencies", "bin/gunicorn"));
    assert_eq!(build.packages["gunicorn"], "23.0.0");
    assert_eq!(build.packages["packaging"], "24.0");
    assert!(
        build.notes.iter().any(|note| note.starts_with("gunicorn 23.0.0 serves this app")),
        "{:?}",
        build.notes
    );
    assert_eq!(bench.notes(), build.notes);
    bench.build().await.unwrap();
    assert!(bench.note("dependencies").ends_with(", cached"));
}

#[tokio::test]
async fn what_a_server_could_use_besides_stays_in_the_version_that_is_there() {
    let bench = Bench::new().await;
    bench.write("main.py", "from starlette.applications import Starlette\napp = Starlette()\n");
    for (websockets, version) in [("WebSockets==12.0\n", "12.0"), ("", "15.0.1")] {
        bench.write("requirements.txt", &format!("starlette==0.48.0\n{websockets}"));
        let build = bench.build().await.unwrap();
        assert_eq!(build.packages["websockets"], version);
        assert_eq!(build.packages["uvicorn"], "0.38.0");
    }
}

#[tokio::test]
async fn a_server_that_a_dependency_brought_along_stays() {
    let bench = Bench::new().await;
    bench.write("main.py", "from starlette.applications import Starlette\napp = Starlette()\n");
    bench.write("requirements.txt", "starlette==0.48.0\n./brings\n");
    let project = "[project]\nname = \"brings\"\nversion = \"1\"\ndependencies = [\"uvicorn==0.37.0\"]\n";
    bench.write("brings/pyproject.toml", project);
    bench.write("brings/brings.py", "");
    let build = bench.build().await.unwrap();
    assert_eq!(web(&build), "uvicorn main:app --host 127.0.0.1 --port $PORT");
    assert_eq!(build.packages["uvicorn"], "0.37.0");
}

#[tokio::test]
async fn a_site_in_a_subfolder_collects_its_static_files_from_there() {
    let bench = Bench::new().await;
    crate::django::write_project(&bench);
    let site = bench.source().join("site");
    std::fs::create_dir(&site).unwrap();
    for name in ["manage.py", "shop", "assets"] {
        std::fs::rename(bench.source().join(name), site.join(name)).unwrap();
    }
    let build = bench.build().await.unwrap();
    assert_eq!(build.spec.root.as_deref(), Some("site"));
    assert_eq!(build.spec.static_folders["/static/"], "site/collected");
    let statics = part(&build, "static").unwrap();
    assert_eq!(statics.mount, "/app/site/collected");
    assert!(build.notes[0].contains("commands run in site"), "{:?}", build.notes);
    bench.build().await.unwrap();
    assert!(bench.note("static files").ends_with(", cached"), "{}", bench.note("static files"));

    bench.write("Procfile", "web: gunicorn shop.wsgi\n");
    let above = bench.build().await.unwrap();
    assert_eq!(
        (above.spec.root.as_deref(), above.spec.environment["PYTHONPATH"].as_str()),
        (None, "/app/site")
    );
    assert_eq!(part(&above, "static").unwrap().mount, "/app/site/collected");
}

#[tokio::test]
async fn a_folder_that_settings_name_and_git_does_not_keep_is_made() {
    let bench = Bench::new().await;
    crate::django::write_project(&bench);
    let settings = std::fs::read_to_string(bench.source().join("shop/settings.py")).unwrap();
    let named = "STATICFILES_DIRS = [BASE_DIR / \"assets\", BASE_DIR / \"more\" / \"static\"]";
    let settings = settings.replace("STATICFILES_DIRS = [BASE_DIR / \"assets\"]", named);
    bench.write("shop/settings.py", &settings);
    for _ in 0..2 {
        let build = bench.build().await.unwrap();
        let app = part(&build, "app").unwrap();
        let made = bench.store.lookup(&app.tree, "more/static").unwrap();
        assert!(matches!(made, Some(Entry::Folder { .. })));
        assert!(build.notes.iter().any(|note| note.contains("more/static")), "{:?}", build.notes);
    }
    // As older versions of Django do where a folder is missing.
    let fails = format!("{settings}\nimport os\nos.listdir(BASE_DIR / \"more\" / \"static\")\n");
    bench.write("shop/settings.py", &fails);
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "static_failed", "its settings cannot even be read: {problem:?}");

    let logs = settings.clone()
        + "\nLOGGING = {'version': 1, 'handlers': {'f': {'class': 'logging.FileHandler', 'filename': BASE_DIR / 'logs' / 'x.log'}}}\n";
    bench.write("shop/settings.py", &logs);
    let problem = bench.build().await.unwrap_err().to_problem();
    assert!(problem.hint.contains("logs = \"/app/logs\""), "{problem:?}");
    bench.write("tandem.toml", "[volumes]\nlogs = \"logs\"\n");
    let build = bench.build().await.unwrap();
    assert_eq!(build.spec.volumes["logs"], "/app/logs");
}

#[tokio::test]
async fn such_a_folder_is_there_before_any_command_runs() {
    let bench = Bench::new().await;
    crate::django::write_project(&bench);
    let settings = std::fs::read_to_string(bench.source().join("shop/settings.py")).unwrap();
    let named = "STATICFILES_DIRS = [BASE_DIR / \"assets\", BASE_DIR / \"more\" / \"static\"]\n\
        try: open(BASE_DIR / 'written', 'x').close()\nexcept OSError: pass\n";
    bench.write("shop/settings.py", &settings.replace("STATICFILES_DIRS = [BASE_DIR / \"assets\"]", named));
    bench.write("tandem.toml", "[build]\ncommands = [\"echo 'a { }' > more/static/made.css\"]\n");
    let build = bench.build().await.unwrap();
    assert!(has(&bench.store, &build, "static", "made.css"));
    assert!(!has(&bench.store, &build, "app", "written"), "looking at the settings changes nothing");
    assert!(
        build.notes.iter().any(|note| note.contains("the empty folder more/static was made")),
        "{:?}",
        build.notes
    );
}

#[tokio::test]
async fn a_committed_env_file_is_built_only_where_somebody_says_so() {
    let bench = Bench::new().await;
    bench.write("Procfile", "web: ./serve\n");
    for (path, text) in
        [(".env", "A=1\n"), ("web/.env.local", "B=1\n"), (".env.example", "A=\n"), ("serve", "")]
    {
        bench.write(path, text);
    }
    let build = bench.build().await.unwrap();
    assert!(has(&bench.store, &build, "app", ".env.example"));
    assert!(!has(&bench.store, &build, "app", ".env") && !has(&bench.store, &build, "app", "web/.env.local"));
    let warning = build.warnings.iter().find(|warning| warning.contains(".env")).unwrap();
    assert!(warning.starts_with(".env, web/.env.local are not part of the build"), "{warning}");
    bench.write("tandem.toml", "[source]\ninclude = [\"/.env\"]\n");
    let build = bench.build().await.unwrap();
    assert!(has(&bench.store, &build, "app", ".env") && !has(&bench.store, &build, "app", "web/.env.local"));
}
